"""ASGI calls driven by hand: what a server would say and hear, without a server, so that every order can be tried."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from starlette.types import ASGIApp, Message

from tests.serving.world import KEY, World

PATIENCE_S = 20.0


class SentResponse:
    """The messages that an app has `sent`, read as the response they are."""

    sent: list[Message]

    @property
    def status(self) -> int:
        """Status of the response that was started."""
        return int(self.sent[0]["status"])

    @property
    def headers(self) -> dict[str, str]:
        """Headers of the response that was started."""
        return {name.decode(): value.decode() for name, value in self.sent[0]["headers"]}

    @property
    def content(self) -> bytes:
        """The body so far."""
        return b"".join(message["body"] for message in self.sent[1:])

    @property
    def complete(self) -> bool:
        """Was the last part of the body sent?"""
        return len(self.sent) > 1 and not self.sent[-1]["more_body"]

    def json(self) -> Any:
        """The body, decoded."""
        return json.loads(self.content)


class Call(SentResponse):
    """One connection scope: `say` is what the server tells the app, `sent` what the app sent back."""

    def __init__(self, app: ASGIApp, scope: Mapping[str, Any]) -> None:
        self.sent: list[Message] = []
        self._inbox: asyncio.Queue[Message] = asyncio.Queue()
        self.task: asyncio.Task[None] = asyncio.ensure_future(self._run(app, dict(scope)))

    async def _run(self, app: ASGIApp, scope: dict[str, Any]) -> None:
        await app(scope, self._inbox.get, self._hear)

    async def _hear(self, message: Message) -> None:
        self.sent.append(message)
        await asyncio.sleep(0)

    def say(self, **message: Any) -> None:
        """Queue a message for the app's `receive`."""
        self._inbox.put_nowait(message)

    def body(self, *parts: bytes) -> None:
        """The whole request body in `parts`."""
        for place, part in enumerate(parts, start=1):
            self.say(type="http.request", body=part, more_body=place < len(parts))

    def hang_up(self) -> None:
        """The client closes its connection."""
        self.say(type="http.disconnect")

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait until `condition` holds."""
        await until(condition)

    async def ended(self) -> "Call":
        """Wait until the app has returned; raises what it raised."""
        await asyncio.wait_for(self.task, PATIENCE_S)
        return self

    @property
    def heard(self) -> bool:
        """Has the app taken everything that was said?"""
        return self._inbox.empty()


async def until(condition: Callable[[], object]) -> None:
    """Wait until `condition` holds; fails after `PATIENCE_S`."""
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end, "the condition never came to hold"
        await asyncio.sleep(0.001)


def http_scope(method: str, path: str, headers: Mapping[str, str] | None = None) -> dict[str, Any]:
    """An HTTP scope as a server makes it; a good key is sent unless `headers` says otherwise."""
    named = {"authorization": f"Bearer {KEY}"} if headers is None else headers
    pairs = [(name.lower().encode(), value.encode("latin-1")) for name, value in named.items()]
    return {"type": "http", "method": method, "path": path, "headers": pairs, "query_string": b""}


@asynccontextmanager
async def running(world: World) -> AsyncIterator[ASGIApp]:
    """The gateway of `world` between its start-up and its shutdown."""
    app = world.gateway()
    lifespan = Call(app, {"type": "lifespan"})
    lifespan.say(type="lifespan.startup")
    await until(lambda: lifespan.sent or lifespan.task.done())
    assert lifespan.sent == [{"type": "lifespan.startup.complete"}]
    try:
        yield app
    finally:
        lifespan.say(type="lifespan.shutdown")
        with contextlib.suppress(asyncio.CancelledError):
            await lifespan.ended()
        assert lifespan.sent[-1] == {"type": "lifespan.shutdown.complete"}


async def ask(
    app: ASGIApp, path: str, body: Any = None, *, method: str = "POST", headers: Mapping[str, str] | None = None
) -> Call:
    """One exchange from start to end; `body` is sent as JSON, bytes as they are."""
    call = Call(app, http_scope(method, path, headers))
    call.body(body if isinstance(body, bytes) else json.dumps(body).encode() if body is not None else b"")
    return await call.ended()
