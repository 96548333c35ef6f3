"""What a tenant may do and what it cost: synchronous rules; time and stored state are passed in."""
