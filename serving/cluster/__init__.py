"""Ray and Ray Serve: starting, joining and watching a cluster, and what its replicas share."""
