"""Ports for what is about to be started: free now, and not to be taken by an outgoing connection before they are used.

The kernel gives outgoing connections their ports out of a range of its own (32768 and up on Linux). A port from there
may be gone seconds later, or be the source of the very connection that looks whether somebody listens on it.
"""

import random
import socket

PORTS = range(20_000, 30_000)
"""Above those of Ray's workers, below those of Serve's replicas and of outgoing connections."""


def free_port() -> int:
    """A port of `PORTS` that nothing is bound to on loopback right now. Raises `OSError` when there is none."""
    for port in random.sample(PORTS, len(PORTS)):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
    raise OSError(f"no free port from {PORTS.start} to {PORTS.stop - 1}")
