"""Whether routing is worth it: recorded outcomes in, every bar of docs/routing.md out. One module per kind of bar."""
