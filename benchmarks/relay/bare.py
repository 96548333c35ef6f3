"""The yardstick: a raw ASGI relay that checks, counts and decides nothing. One process of bare uvicorn.

python -m benchmarks.relay.bare PORT UPSTREAM_URL
"""

import sys
from collections.abc import Iterable

import aiohttp
import uvicorn
from starlette.types import Receive, Scope, Send

_RELAYED = ("content-type", "content-length")


class Relay:
    """The ASGI app: every request to the same path upstream, over one shared session, bytes untouched."""

    def __init__(self, upstream: str) -> None:
        self._upstream = upstream
        self._session: aiohttp.ClientSession | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See the ASGI specification."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        else:
            await self._relay(scope, receive, send)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        async with aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0), cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False
        ) as self._session:
            await send({"type": "lifespan.startup.complete"})
            await receive()
        await send({"type": "lifespan.shutdown.complete"})

    async def _relay(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert self._session is not None
        body = await _body(receive)
        headers = {"content-type": "application/json"}
        async with self._session.post(self._upstream + scope["path"], data=body, headers=headers) as answer:
            kept = _kept(answer.headers.items())
            await send({"type": "http.response.start", "status": answer.status, "headers": kept})
            async for chunk in answer.content.iter_any():
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _body(receive: Receive) -> bytes:
    parts = []
    while True:
        message = await receive()
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(parts)


def _kept(headers: Iterable[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    return [(name.lower().encode(), value.encode()) for name, value in headers if name.lower() in _RELAYED]


if __name__ == "__main__":
    uvicorn.run(
        Relay(sys.argv[2]), port=int(sys.argv[1]), access_log=False, log_level="warning", loop="uvloop", lifespan="on"
    )
