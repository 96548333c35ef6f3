"""What the gateway costs: its requests and streams per second next to a relay that does nothing."""
