"""The commands of `millrace`, one module each: they read options, call the parts and print."""
