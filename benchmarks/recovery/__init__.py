"""How Millrace recovers: a repeated prefix, clients that leave, an engine replica killed; real cluster, over HTTP."""
