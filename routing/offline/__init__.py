"""Before a policy is in force: recorded outcomes in, metrics and fitted parts out. Never imported by the gateway."""
