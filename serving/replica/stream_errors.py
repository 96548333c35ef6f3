"""An exception in the middle of an event stream becomes the stream's last event, instead of a cut connection.

vLLM checks some requests only once its stream has begun (a grammar on /v1/responses, for one). Cut there, the client's
mistake would look like a dying replica, and be tried on the next one. Pure ASGI; what an exception means is passed in.
"""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class StreamErrors:
    """Runs the inner app. `describe`: the error object for an exception, with the HTTP status as its `code`."""

    def __init__(self, app: ASGIApp, describe: Callable[[Exception], Mapping[str, Any]]) -> None:
        self._app = app
        self._describe = describe

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See the ASGI specification."""
        streaming = False

        async def noting(message: Message) -> None:
            nonlocal streaming
            if message["type"] == "http.response.start":
                streaming = _is_event_stream(message)
            elif message["type"] == "http.response.body":
                streaming = streaming and bool(message.get("more_body"))
            await send(message)

        try:
            await self._app(scope, receive, noting)
        except Exception as error:  # whatever breaks: a stream that has begun can only say so in an event, or lie
            if not streaming:
                raise
            structlog.get_logger().warning("stream_failed", path=scope["path"], reason=repr(root_of(error)))
            await send({"type": "http.response.body", "body": self._event(error), "more_body": False})

    def _event(self, error: Exception) -> bytes:
        return b"data: " + msgspec.json.encode({"error": self._describe(root_of(error))}) + b"\n\n"


def root_of(error: Exception) -> Exception:
    """What was raised first: frameworks wrap an exception that comes after the response has started."""
    while True:
        if isinstance(error, ExceptionGroup):
            inner: BaseException | None = error.exceptions[0]
        else:
            inner = error.__cause__
        if not isinstance(inner, Exception):
            return error
        error = inner


def _is_event_stream(start: Message) -> bool:
    headers = ((name.lower(), value) for name, value in start.get("headers", ()))
    return any(name == b"content-type" and value.startswith(b"text/event-stream") for name, value in headers)
