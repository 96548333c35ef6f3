"""HTTP/1.1 to our own replicas: the relay's innermost loop, without what a general client does for every request.

Plain HTTP, POST, connections kept open per replica, bodies with a length or in chunks: what uvicorn sends. Parsing is
httptools'; there are no redirects, cookies, proxies or compression here, and hosted APIs go through aiohttp instead.
Errors leave as `UpstreamFailed`. A response that is closed before its end cuts the connection, which cancels the work.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping
from types import TracebackType
from typing import cast
from urllib.parse import urlsplit

import httptools

from models.spec import Timeouts
from serving.errors import UpstreamDisconnected, UpstreamFailed, UpstreamInvalid, UpstreamRefused, UpstreamTimeout
from serving.upstreams.upstream import UpstreamRequest

KEPT_S = 30.0
"""How long an idle connection is used again; below the 90 s after which Serve closes it, seconds."""
BUFFERED_BYTES = 1 << 20
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
        parts = urlsplit(url)
        address = (parts.hostname or "", parts.port or 80)
        message = head(parts.netloc, request, headers) + request.body
        silence = silence_s(request, timeouts)
        kept = self._take(address)
        if kept is not None:
            try:
                return await kept.exchange(message, replica, silence)
            except UpstreamDisconnected:
                if kept.heard:
                    raise  # otherwise it was closed while it lay idle: nothing came of this request, so it may go again
        fresh = await self._connect(address, replica, timeouts.connect_s)
        return await fresh.exchange(message, replica, silence)

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
            raise UpstreamRefused(f"{replica} cannot be reached") from error
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

    async def exchange(self, message: bytes, replica: str, silence: float) -> "Exchange":
        """Send `message` and wait for the head. `silence`: seconds without a byte that are borne."""
        self._begin(message, replica, silence)
        try:
            while not self._head_here:
                await self._wait()
        except BaseException:  # cancellation too: an exchange that is not returned is cut
            self.close()
            raise
        return self

    def _begin(self, message: bytes, replica: str, silence: float) -> None:
        self.heard = False
        self.status = 0
        self.headers: dict[str, str] = {}
        self._replica = replica
        self._silence_s = silence
        self._parser = httptools.HttpResponseParser(self)
        self._parts: list[bytes] = []
        self._buffered = 0
        self._head_here = self._complete = self._keep_alive = self._paused = self._over = False
        self._failure: UpstreamFailed | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._heard_at = self._loop.time()
        self._timer = self._loop.call_at(self._heard_at + silence, self._listen)
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
                yield parts[0] if len(parts) == 1 else b"".join(parts)
            elif self._complete:
                return
            else:
                await self._wait()

    def usable(self, now: float) -> bool:
        """May another exchange begin on it?"""
        return not self._gone and now - self._kept_at < KEPT_S

    def close(self) -> None:
        """End the exchange: keep the connection when the body was read to its end, else cut it. Idempotent."""
        if self._over:
            return
        self._over = True
        if self._timer is not None:
            self._timer.cancel()
        if self._complete and not self._gone and self._keep_alive:
            self._let_flow()
            self._kept_at = self._loop.time()
            self._pool.keep(self)
        else:
            self.cut()

    def cut(self) -> None:
        """Close the connection now, whatever is on it."""
        if self._transport is not None:
            self._transport.abort()

    async def _wait(self) -> None:
        if self._failure is not None:
            raise self._failure
        self._waiter = self._loop.create_future()
        await self._waiter
        if self._failure is not None and not self._parts and not self._complete:
            raise self._failure

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def _fail(self, failure: UpstreamFailed) -> None:
        if not self._over and not self._complete and self._failure is None:
            self._failure = failure
        self._wake()

    def _listen(self) -> None:
        """Called when silence may have lasted too long. A reader that holds the replica back is not its silence."""
        quiet_s = self._loop.time() - self._heard_at
        if quiet_s < self._silence_s or self._paused:
            self._timer = self._loop.call_later(max(self._silence_s - quiet_s, 0.1), self._listen)
        else:
            self._fail(UpstreamTimeout(f"{self._replica} did not answer in time"))

    def _let_flow(self) -> None:
        if self._paused and self._transport is not None:
            self._paused = False
            self._heard_at = self._loop.time()
            self._transport.resume_reading()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one without saying so

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        if self._over or self._complete:  # bytes that nobody asked for: whose answer they are cannot be known any more
            self._gone = True
            self.cut()
            return
        self.heard = True
        self._heard_at = self._loop.time()
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._keep_alive = False
            self._fail(UpstreamInvalid(f"{self._replica} answered with something that is not HTTP"))
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
            self._fail(UpstreamDisconnected(f"{self._replica} closed the connection before the answer was complete"))

    # httptools callbacks

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header of the response."""
        self.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        """Status and headers are here."""
        self.status = self._parser.get_status_code()
        if self.status < 200:
            self._fail(UpstreamInvalid(f"{self._replica} answered {self.status}, which nobody asked for"))
            return
        self._keep_alive = self._parser.should_keep_alive()  # later the parser has forgotten
        self._head_here = True

    def on_body(self, body: bytes) -> None:
        """A piece of the body, out of its chunk."""
        self._parts.append(body)
        self._buffered += len(body)

    def on_message_complete(self) -> None:
        """The body has ended."""
        self._complete = True


def head(netloc: str, request: UpstreamRequest, headers: Mapping[str, str]) -> bytes:
    """The request line and headers. A line break in a value is refused, though `serving.wire` lets none in."""
    lines = [
        f"POST {request.path} HTTP/1.1",
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


def silence_s(request: UpstreamRequest, timeouts: Timeouts) -> float:
    """The silence borne on the socket: between chunks of a stream, or before a whole answer."""
    return max(timeouts.idle_s, timeouts.first_token_s) if request.stream else timeouts.total_s
