"""Turns the cancellation of a request into what vLLM listens for: the client has gone.

When a client closes its connection, Serve cancels the request's task. vLLM runs the work of an unary request in a task
of its own and stops it only on ASGI's `http.disconnect`: cancelled from outside, it would leave that task generating
for nobody. Pure ASGI; knows nothing of either library.
"""

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

GRACE_S = 5.0
DISCONNECT: Message = {"type": "http.disconnect"}


class CancelAsDisconnect:
    """Runs the inner app so that cancelling the call tells it that the client has gone.

    It then has `grace_s` to end by itself before it is cancelled after all.
    """

    def __init__(self, app: ASGIApp, grace_s: float = GRACE_S) -> None:
        self._app = app
        self._grace_s = grace_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See the ASGI specification."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        gone = asyncio.Event()
        work = asyncio.ensure_future(self._app(scope, _until(gone, receive), send))
        try:
            await asyncio.shield(work)
        except asyncio.CancelledError:
            gone.set()
            await asyncio.wait({work}, timeout=self._grace_s)
            raise
        finally:
            work.cancel()


def _until(gone: asyncio.Event, receive: Receive) -> Receive:
    """`receive`, or the client's departure, whichever comes first."""

    async def either() -> Message:
        message, left = asyncio.ensure_future(receive()), asyncio.ensure_future(gone.wait())
        try:
            await asyncio.wait({message, left}, return_when=asyncio.FIRST_COMPLETED)
            return message.result() if message.done() else DISCONNECT
        finally:
            message.cancel()
            left.cancel()

    return either
