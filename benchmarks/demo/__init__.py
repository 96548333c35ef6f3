"""The demo: a whole cluster on this machine, real prompts through the openai client, then an outage, shown as it is."""
