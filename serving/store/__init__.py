"""What the gateway keeps beyond one request, in a database that every gateway replica shares."""
