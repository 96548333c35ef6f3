"""HTTP/1.1 to our own replicas: the relay's innermost loop, without what a general client does for every request.

Plain HTTP, connections kept open per replica, bodies with a length or in chunks: what uvicorn sends. Parsing is
httptools'; there are no redirects, cookies, proxies or compression here, and hosted APIs go through aiohttp instead.
Errors leave as `UpstreamFailed`. A response that is closed before its end cuts the connection, which cancels the work.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping
from functools import lru_cache
from types import TracebackType
from typing import cast
from urllib.parse import urlsplit

import httptools
import msgspec

from models.spec import Timeouts
from serving.errors import UpstreamDisconnected, UpstreamFailed, UpstreamInvalid, UpstreamRefused, UpstreamTimeout
from serving.upstreams.upstream import UpstreamRequest

STALE_S = 1.0
"""A kept connection that ends within this time, unheard, was closed while it lay idle: the request may go again."""
KEPT_S = 30.0
"""How long an idle connection is used again; below the 90 s after which Serve closes it, seconds."""
BUFFERED_BYTES = 256 << 10
"""Unread body at which the replica is made to wait; a slow client costs no more memory than this."""


class ReplicaHttp:
    """Connections to replicas, by host and port. Must be used inside one running loop; `aclose` ends them all."""

    def __init__(self) -> None:
        self._idle: defaultdict[tuple[str, int], list[Exchange]] = defaultdict(list)
        self._open: set[Exchange] = set()

    async def __aenter__(self) -> "ReplicaHttp":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def post(
        self, url: str, request: UpstreamRequest, *, headers: Mapping[str, str], replica: str, timeouts: Timeouts
    ) -> "Exchange":
        """Send to `url` (`http://host:port`) and wait for the head.

        Raises `UpstreamRefused` (no connection, nothing was sent), `UpstreamTimeout` or `UpstreamDisconnected`.
        """
        netloc, address = _place(url)
        message = head(netloc, request, headers) + request.body
        patience = Patience.of(request, timeouts)
        kept = self._take(address)
        if kept is not None:
            try:
                return await kept.exchange(message, replica, patience)
            except UpstreamDisconnected:
                if not kept.was_stale():
                    raise
        fresh = await self._connect(address, replica, timeouts.connect_s)
        return await fresh.exchange(message, replica, patience)

    def quiet_s(self, replica: str) -> float | None:
        """For how long no part of any answer has come of `replica`, seconds; None when it is connected to nobody.

        A head is no part: engines send it before they have done anything.
        """
        heard = [one.heard_at for one in self._open if one.replica == replica and one.begun]
        return asyncio.get_running_loop().time() - max(heard) if heard else None

    def give_up(self, replica: str) -> None:
        """Fail every exchange with `replica` of which no part of an answer has been passed on."""
        for one in list(self._open):
            if one.replica == replica:
                one.give_up()

    def _take(self, address: tuple[str, int]) -> "Exchange | None":
        idle, now = self._idle.get(address, []), asyncio.get_running_loop().time()
        while idle:
            connection = idle.pop()
            if connection.usable(now):
                return connection
            connection.close()
        return None

    async def _connect(self, address: tuple[str, int], replica: str, connect_s: float) -> "Exchange":
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(connect_s):
                _, connection = await loop.create_connection(lambda: Exchange(loop, self, address), *address)
        except (OSError, TimeoutError) as error:
            refused = UpstreamRefused(f"{replica} cannot be reached")
            refused.sent = False
            raise refused from error
        self._open.add(connection)
        return connection

    def keep(self, connection: "Exchange") -> None:
        """Take back a connection whose exchange is over."""
        self._idle[connection.address].append(connection)

    def forget(self, connection: "Exchange") -> None:
        """A connection is gone."""
        self._open.discard(connection)
        idle = self._idle.get(connection.address, [])
        if connection in idle:
            idle.remove(connection)
        if not idle:
            self._idle.pop(connection.address, None)

    async def aclose(self) -> None:
        """Cut every connection."""
        for connection in list(self._open):
            connection.cut()


class Exchange(asyncio.Protocol):
    """A connection, and the one exchange on it at a time. An exchange ends with `close`, once."""

    def __init__(self, loop: asyncio.AbstractEventLoop, pool: ReplicaHttp, address: tuple[str, int]) -> None:
        self.address = address
        self._loop = loop
        self._pool = pool
        self._transport: asyncio.Transport | None = None
        self._kept_at = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._over = True
        self._gone = False
        self.heard = self.begun = self.complete = False
        self.heard_at = 0.0
        self.replica = "-"
        self.failure: UpstreamFailed | None = None

    async def exchange(self, message: bytes, replica: str, patience: "Patience") -> "Exchange":
        """Send `message` and wait for the head."""
        self._begin(message, replica, patience)
        try:
            while not self._head_here:
                await self._wait()
        except BaseException:  # cancellation too: an exchange that is not returned is cut
            self.close()
            raise
        return self

    def _begin(self, message: bytes, replica: str, patience: "Patience") -> None:
        self.heard = False
        self.status = 0
        self.headers: dict[str, str] = {}
        self.replica = replica
        self._idle_s = patience.idle_s
        self._parser = httptools.HttpResponseParser(self)
        self._parts: list[bytes] = []
        self._buffered = 0
        self._head_here = self.complete = self._keep_alive = self._paused = self._over = False
        self.begun = False
        self.failure = None
        self._waiter: asyncio.Future[None] | None = None
        self.heard_at = self._loop.time()
        self._timer = self._loop.call_at(self.heard_at + patience.first_s, self._first_is_late)
        if self._gone:
            self._fail(UpstreamDisconnected(f"{replica} closed the connection"))
        elif self._transport is not None:
            self._transport.write(message)

    async def body(self) -> AsyncIterator[bytes]:
        """The body as it arrives. Raises `UpstreamFailed` when it is cut short."""
        while True:
            if self._parts:
                parts, self._parts, self._buffered = self._parts, [], 0
                self._let_flow()
                if not self.begun:
                    self._begin_listening()
                yield parts[0] if len(parts) == 1 else b"".join(parts)
            elif self.complete:
                return
            else:
                await self._wait()

    def usable(self, now: float) -> bool:
        """May another exchange begin on it?"""
        return not self._gone and now - self._kept_at < KEPT_S

    def was_stale(self) -> bool:
        """Did it end so soon, and without a byte, that nobody can have worked on this exchange?"""
        return not self.heard and self._loop.time() - self.heard_at < STALE_S

    def close(self) -> None:
        """End the exchange: keep the connection when the body was read to its end, else cut it. Idempotent."""
        if self._over:
            return
        self._over = True
        if self._timer is not None:
            self._timer.cancel()
        if self.complete and not self._gone and self._keep_alive:
            self._let_flow()
            self._kept_at = self._loop.time()
            self._pool.keep(self)
        else:
            self.cut()

    def cut(self) -> None:
        """Close the connection now, whatever is on it."""
        if self._transport is not None:
            self._transport.abort()

    def give_up(self) -> None:
        """Fail, lost with the replica, unless a part of the answer has been passed on."""
        if not self._over and not self.begun:
            self._too_late(lost=True)

    async def _wait(self) -> None:
        if self.failure is not None:
            raise self.failure
        self._waiter = self._loop.create_future()
        await self._waiter
        if self.failure is not None and not self._parts and not self.complete:
            raise self.failure

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def _fail(self, failure: UpstreamFailed) -> None:
        if not self._over and not self.complete and self.failure is None:
            self.failure = failure
        self._wake()

    def _first_is_late(self) -> None:
        if not self._parts or self._idle_s is None:  # else it is here, and about to be passed on
            self._too_late()

    def _too_late(self, *, lost: bool = False) -> None:
        late = UpstreamTimeout(f"{self.replica} did not answer in time")
        late.lost = lost
        self._fail(late)

    def _begin_listening(self) -> None:
        """The first chunk of the body is passed on: from now on silence counts, if it is a stream."""
        self.begun = True
        if self._idle_s is not None and self._timer is not None:
            self._timer.cancel()
            self._timer = self._loop.call_later(self._idle_s, self._listen, self._idle_s)

    def _listen(self, idle_s: float) -> None:
        """Called when silence may have lasted too long. A reader that holds the replica back is not its silence."""
        quiet_s = self._loop.time() - self.heard_at
        if quiet_s < idle_s or self._paused:
            self._timer = self._loop.call_later(max(idle_s - quiet_s, 0.1), self._listen, idle_s)
        else:
            self._too_late()

    def _let_flow(self) -> None:
        if self._paused and self._transport is not None:
            self._paused = False
            self.heard_at = self._loop.time()
            self._transport.resume_reading()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one without saying so

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        if self._over or self.complete:  # bytes that nobody asked for: whose answer they are cannot be known any more
            self._gone = True
            self.cut()
            return
        self.heard = True
        self.heard_at = self._loop.time()
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._keep_alive = False
            self._fail(UpstreamInvalid(f"{self.replica} answered with something that is not HTTP"))
            return
        if self._buffered > BUFFERED_BYTES and not self._paused and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        self._gone = True
        self._pool.forget(self)
        if not self._over:
            self._fail(UpstreamDisconnected(f"{self.replica} closed the connection before the answer was complete"))

    # httptools callbacks

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header of the response."""
        self.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        """Status and headers are here."""
        self.status = self._parser.get_status_code()
        if self.status < 200:
            self._fail(UpstreamInvalid(f"{self.replica} answered {self.status}, which nobody asked for"))
            return
        self._keep_alive = self._parser.should_keep_alive()  # later the parser has forgotten
        self._head_here = True

    def on_body(self, body: bytes) -> None:
        """A piece of the body, out of its chunk."""
        self._parts.append(body)
        self._buffered += len(body)

    def on_message_complete(self) -> None:
        """The body has ended."""
        self.complete = True


@lru_cache(maxsize=1024)
def _place(url: str) -> tuple[str, tuple[str, int]]:
    """What goes into `Host`, and where to connect."""
    parts = urlsplit(url)
    return parts.netloc, (parts.hostname or "", parts.port or 80)


def head(netloc: str, request: UpstreamRequest, headers: Mapping[str, str]) -> bytes:
    """The request line and headers. A line break in a value is refused, though `serving.wire` lets none in."""
    lines = [
        f"{request.method} {request.path} HTTP/1.1",
        f"host: {netloc}",
        "content-type: application/json",
        f"content-length: {len(request.body)}",
        f"x-request-id: {request.request_id}",
        *(f"{name}: {value}" for name, value in request.headers.items()),
        *(f"{name}: {value}" for name, value in headers.items()),
        "\r\n",
    ]
    if any("\n" in line or "\r" in line for line in lines[:-1]):
        raise UpstreamInvalid("a header value holds a line break")
    return "\r\n".join(lines).encode("latin-1")


class Patience(msgspec.Struct, frozen=True):
    """How long an exchange is waited for, seconds."""

    first_s: float
    """From sending until the first chunk of a stream is passed on, or until the end of a whole answer."""
    idle_s: float | None
    """The silence borne after that; None where there is nothing after it."""

    @classmethod
    def of(cls, request: UpstreamRequest, timeouts: Timeouts) -> "Patience":
        """What a model's timeouts mean for `request`."""
        return cls(timeouts.first_token_s, timeouts.idle_s) if request.stream else cls(timeouts.total_s, None)
