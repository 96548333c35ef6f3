"""Images and files in requests: what they may be, and fetching those a client names by URL so that no engine does."""
