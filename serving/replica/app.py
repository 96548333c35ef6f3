"""What an engine replica answers over HTTP: its own state, and everything else from vLLM's app. Knows no tokens."""

from collections.abc import Callable

import msgspec
from starlette.types import ASGIApp, Receive, Scope, Send

from serving.errors import MethodNotAllowed, render
from serving.replica.stats import EngineState

STATE_PATH = "/engine/state"


class EngineApp:
    """ASGI: `GET /engine/state`, else `inner`."""

    def __init__(self, inner: ASGIApp, state: Callable[[], EngineState]) -> None:
        self._inner = inner
        self._state = state

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See the ASGI specification."""
        if scope["type"] == "http" and scope["path"] == STATE_PATH:
            await self._answer(scope["method"], send)
        else:
            await self._inner(scope, receive, send)

    async def _answer(self, method: str, send: Send) -> None:
        if method == "GET":
            await _json(send, 200, msgspec.json.encode(self._state()))
        else:
            await _json(send, MethodNotAllowed.status, render(MethodNotAllowed(f"{STATE_PATH} takes GET only")))


async def _json(send: Send, status: int, body: bytes) -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
