"""Ways to whatever generates: the seam, and HTTP to our replicas and to hosted APIs."""
