"""What runs inside an engine replica, around vLLM. The gateway imports nothing from here but the token rule."""
