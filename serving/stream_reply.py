"""The way back to the client for a stream: kept alive while nothing is said, cut when the client does not read.

One timer per stream looks at when something was last sent; a chunk costs no timer and no task. Comments go out between
whole frames only. Nothing it sends by itself can be taken for an answer or for its end.
"""

import asyncio
from collections.abc import Callable
from types import TracebackType

from serving.wire.receive import ClientGone
from serving.wire.reply import Reply
from serving.wire.sse import StreamWatch

KEEP_ALIVE = b": keep-alive\n\n"
_SOON_S = 0.01
_ALMOST = 0.9


class ClientTooSlow(ClientGone):
    """The client stopped reading: one send took longer than the write timeout."""


class StreamReply:
    """Wraps the `Reply` of one stream, from before there is an answer to its end. Enter it in the request's own task.

    `clock` gives monotonic seconds. After `keepalive_s` without anything sent, the status goes out as 200 with a
    comment, and a comment again after every `keepalive_s`. A send that takes `write_timeout_s` ends the request with
    `ClientTooSlow`.
    """

    __slots__ = (
        "_clock",
        "_comment",
        "_keepalive_s",
        "_reply",
        "_sending",
        "_sent_s",
        "_task",
        "_timer",
        "_told",
        "_too_slow",
        "_write_timeout_s",
        "watch",
    )

    def __init__(self, reply: Reply, *, clock: Callable[[], float], keepalive_s: float, write_timeout_s: float) -> None:
        self._reply = reply
        self._clock = clock
        self._keepalive_s = keepalive_s
        self._write_timeout_s = write_timeout_s
        self._sending = False
        self._too_slow = False
        self._comment: asyncio.Task[None] | None = None
        self._told: dict[str, str] | None = None
        self.watch: StreamWatch | None = None
        """What the stream has said so far; set once there is one."""

    def __enter__(self) -> "StreamReply":
        self._task = asyncio.current_task()
        self._sent_s = self._clock()
        self._wait(self._keepalive_s)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()
        if self._comment is not None:
            self._comment.cancel()
        if kind is asyncio.CancelledError and self._task is not None and (self._too_slow or self._blocked()):
            self._task.uncancel()
            raise ClientTooSlow("the client stopped reading")

    def _blocked(self) -> bool:
        """Is a send waiting for the client for so long that a server with the same timeout may have given it up?"""
        return self._sending and self._clock() - self._sent_s >= _ALMOST * self._write_timeout_s

    async def begin(self, status: int) -> bytes:
        """Start the stream. When a comment had to before, what could not be a header any more is returned."""
        await self.settle_comment()
        if not self._reply.started:
            await self._reply.stream(status)
        return self.untold()

    def untold(self) -> bytes:
        """The headers that came too late, as comments; nothing the second time."""
        if self._told is None:
            return b""
        late = {name: value for name, value in self._reply.headers.items() if name not in self._told}
        self._told |= late
        return b"".join(f": {name}={value}\n\n".encode("latin-1", "replace") for name, value in late.items())

    async def more(self, body: bytes) -> None:
        """Send whole frames; nothing is sent for none."""
        if body:
            if self._comment is not None:
                await self.settle_comment()
            self._sent_s = self._clock()
            self._sending = True
            await self._reply.more(body)
            self._sending = False

    async def end(self, body: bytes) -> None:
        """Send the last frames."""
        await self.settle_comment()
        self._sent_s = self._clock()
        self._sending = True
        await self._reply.end(body)
        self._sending = False

    async def give_way(self) -> None:
        """No comment any more, unless the stream has begun: something else is about to be sent."""
        await self.settle_comment()
        if not self._reply.started:
            self._timer.cancel()

    def _look(self) -> None:
        quiet_s = self._clock() - self._sent_s
        if self._sending or self._comment is not None:
            if quiet_s >= self._write_timeout_s:
                self._cut()
                return
            self._wait(self._write_timeout_s - quiet_s)
        elif quiet_s >= self._keepalive_s:
            self._sent_s = self._clock()
            self._comment = asyncio.ensure_future(self._say())
            self._comment.add_done_callback(self._said)
            self._wait(self._keepalive_s)
        else:
            self._wait(self._keepalive_s - quiet_s)

    def _wait(self, delay_s: float) -> None:
        delay_s = max(min(delay_s, self._write_timeout_s), _SOON_S)
        self._timer = asyncio.get_running_loop().call_later(delay_s, self._look)

    def _cut(self) -> None:
        self._too_slow = True
        if self._task is not None:
            self._task.cancel()

    async def _say(self) -> None:
        if not self._reply.started:
            self._told = dict(self._reply.headers)
            await self._reply.stream(200)
        await self._reply.more(KEEP_ALIVE)

    def _said(self, comment: asyncio.Task[None]) -> None:
        self._comment = None
        if not comment.cancelled():
            comment.exception()  # a client that is gone is noticed by whoever sends to it next

    async def settle_comment(self) -> None:
        """Wait until a comment that is being sent is out."""
        while self._comment is not None:
            await asyncio.wait((self._comment,))
