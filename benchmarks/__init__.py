"""Whether it was worth it: measurements over HTTP. Never imports serving."""
