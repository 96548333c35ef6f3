"""Who should answer: scoring, the cascade, replica choice. Pure decisions: no await, no clock, no network, no Ray."""
