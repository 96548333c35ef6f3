"""What clients send and are sent: routes, requests, replies and streams, as bytes. Knows no replica and no price."""
