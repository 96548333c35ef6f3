"""Sends a response's head together with the first bytes of its body: one system call, one packet, instead of two.

Knows no HTTP: it holds whatever is written first for at most one turn of the event loop. What it holds is never lost:
closing sends it.
"""

import asyncio


class HeldHead:
    """The transport as one request-response cycle of uvicorn uses it."""

    __slots__ = ("_begun", "_held", "_loop", "_transport")

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._held: bytes | None = None
        self._begun = False

    def write(self, data: bytes) -> None:
        """See `asyncio.WriteTransport.write`; the first one waits for the second, if that comes at once."""
        if self._held is not None:
            held, self._held = self._held, None
            self._transport.write(held + data)
        elif self._begun:
            self._transport.write(data)
        else:
            self._begun = True
            self._held = data
            self._loop.call_soon(self.flush)

    def flush(self) -> None:
        """Send what is held."""
        held, self._held = self._held, None
        if held is not None:
            self._transport.write(held)

    def close(self) -> None:
        """Close the connection once everything is sent."""
        self.flush()
        self._transport.close()
