"""The state of the Responses API: kept by the gateway, so that it outlives engines and gateways."""
