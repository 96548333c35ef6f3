"""uvicorn's HTTP protocol with the bounds it lacks: time and bytes for headers, time for readers, connections.

Knows nothing of the app behind it. A request that arrives in one packet costs it a few attributes and no timer.
"""

import asyncio
from collections.abc import Callable
from typing import Any

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from serving.edge.head import HeldHead
from serving.edge.limits import EdgeLimits
from serving.edge.refusal import refusal
from serving.errors import BadRequest, HeadersTooLarge, MillraceError, Overloaded, RequestTimeout
from serving.wire.presence import WATCH
from serving.wire.reply import ABORT


class GuardedProtocol(HttpToolsProtocol):
    """One connection. Headers are counted while they are incomplete; complete ones are the app's to judge."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        limits: EdgeLimits,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._limits = limits
        self._heads = 0
        self._head_bytes = 0
        self._in_head = True
        self._timer: asyncio.TimerHandle | None = None
        self._stalled: asyncio.TimerHandle | None = None
        self._answering: RequestResponseCycle | None = None
        self._gone: Callable[[], object] | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """A new connection: refused when there are too many, else given its time for a request."""
        super().connection_made(transport)
        if len(self.connections) > self._limits.max_connections:
            self._refuse(Overloaded(f"more than {self._limits.max_connections} connections (setting max_connections)"))
            return
        self._timer = self._in(self._limits.header_timeout_s, self._late)

    def connection_lost(self, exc: Exception | None) -> None:
        """It is gone, and its timers with it."""
        self._disarm()
        self._flowing()
        super().connection_lost(exc)
        gone, self._gone = self._gone, None
        if gone is not None and self._answering is not None:
            self._answering.disconnected = True  # uvicorn tells the last request of a connection only
            gone()

    def data_received(self, data: bytes) -> None:
        """Feed the parser; count what is still no whole head."""
        heads, in_head = self._heads, self._in_head
        super().data_received(data)
        if self._heads != heads or not self._in_head or self.transport.is_closing():
            return
        self._head_bytes += len(data) if in_head else 1  # what ended a body may begin a head, of unknown length
        if self._head_bytes > self._limits.max_header_bytes:
            self._refuse(HeadersTooLarge(f"headers are over {self._limits.max_header_bytes} bytes"))
        elif self._timer is None:
            self._timer = self._in(self._limits.header_timeout_s, self._late)

    def on_headers_complete(self) -> None:
        """A head is whole; its body comes next."""
        self._heads += 1
        self._head_bytes = 0
        self._in_head = False
        self._disarm()
        super().on_headers_complete()
        self.cycle.transport = HeldHead(self.transport, self.loop)  # type: ignore[assignment]  # all that a cycle uses
        if not self.pipeline:
            self._answering = self.cycle
        offered = {ABORT: self.transport.abort, WATCH: self._watch}
        self.scope["extensions"] = offered  # type: ignore[typeddict-item]  # ours are callables

    def on_message_complete(self) -> None:
        """The next byte begins another head."""
        self._in_head = True
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Answered. A body still on its way is taken for a moment more; unread bytes do not keep a closed one open."""
        self._gone = None
        if self.pipeline:
            self._answering = self.pipeline[-1][0]
        super().on_response_complete()
        if self.transport.is_closing():
            if self.transport.get_write_buffer_size():
                self.pause_writing()
        elif self.cycle.response_complete and not self._in_head:
            self._unset_keepalive_if_required()
            self._disarm()
            self._timer = self._in(self._limits.linger_s, self.transport.abort)

    def pause_writing(self) -> None:
        """The client takes less than it is sent: its time runs until it has caught up."""
        super().pause_writing()
        if self._stalled is None:
            self._stalled = self._in(self._limits.write_timeout_s, self.transport.abort)

    def resume_writing(self) -> None:
        """It has caught up."""
        self._flowing()
        super().resume_writing()

    def timeout_keep_alive_handler(self) -> None:
        """Idle for too long; one that has not even read its last answer is not waited for."""
        if self.transport.get_write_buffer_size():
            self.transport.abort()
        super().timeout_keep_alive_handler()

    def send_400_response(self, msg: str) -> None:
        """What the parser cannot read."""
        self._refuse(BadRequest("not a valid HTTP request"))

    def _watch(self, gone: Callable[[], object]) -> None:
        """See `serving.wire.presence.WATCH`; one request of a connection is answered at a time."""
        if self.transport.is_closing():
            gone()
            return
        self._gone = gone
        self.flow.resume_reading()  # a large body has paused it, and who does not read hears of no end

    def _late(self) -> None:
        self._timer = None
        if self._head_bytes:
            self._refuse(RequestTimeout(f"headers did not arrive within {self._limits.header_timeout_s:g} s"))
        else:
            self.transport.close()

    def _refuse(self, error: MillraceError) -> None:
        """Say why and close; in the middle of another answer only the latter."""
        self._disarm()
        if self.cycle is None or self.cycle.response_complete:
            self.transport.write(refusal(error))
        self.transport.close()

    def _in(self, seconds: float, act: Callable[[], object]) -> asyncio.TimerHandle:
        return self.loop.call_later(seconds, act)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _flowing(self) -> None:
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None
