"""The way back to the client: one ASGI response, started at most once.

Knows ASGI's send and nothing else. `headers` added before `start` go out with whatever is sent, errors included.
"""

import asyncio

from starlette.types import Scope, Send

ABORT = "millrace.abort"
"""The ASGI extension by which a server lets the app break a connection off at once; its value is a callable."""


class Reply:
    """One response. Header names are lower case."""

    __slots__ = ("_send", "ended", "headers", "started", "status")

    def __init__(self, send: Send, request_id: str) -> None:
        self._send = send
        self.headers: dict[str, str] = {"x-request-id": request_id}
        self.status = 0
        self.started = False
        self.ended = False

    async def whole(self, status: int, body: bytes, content_type: str = "application/json") -> None:
        """Send a complete response."""
        await self._start(status, {"content-type": content_type, "content-length": str(len(body))})
        await self.end(body)

    async def stream(self, status: int) -> None:
        """Start an event stream; `more` and `end` follow."""
        await self._start(status, {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache"})

    async def more(self, body: bytes) -> None:
        """Send a part of a stream; nothing is sent for an empty one."""
        if body:
            await self._send({"type": "http.response.body", "body": body, "more_body": True})

    async def end(self, body: bytes = b"") -> None:
        """Send the last part."""
        self.ended = True
        await self._send({"type": "http.response.body", "body": body, "more_body": False})

    async def _start(self, status: int, headers: dict[str, str]) -> None:
        named = (headers | self.headers).items()
        pairs = [(name.encode(), value.encode("latin-1", "replace")) for name, value in named]
        self.started = True
        self.status = status
        await self._send({"type": "http.response.start", "status": status, "headers": pairs})


async def abort(scope: Scope) -> None:
    """Break the connection off, unsent bytes included, if the server can (`ABORT`).

    An app that returns without completing its response ends the connection too, but only once the client has read
    what is waiting for it.
    """
    cut = (scope.get("extensions") or {}).get(ABORT)
    if cut is not None:
        cut()
        await asyncio.sleep(0)
