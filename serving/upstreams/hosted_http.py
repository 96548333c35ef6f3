"""One HTTP exchange over a shared aiohttp session: the transport under hosted APIs.

Knows nothing of replicas, keys or retries. Every aiohttp or socket error leaves here as an `UpstreamFailed`. Closing
a response whose body is unfinished cuts the connection, and that is what cancels the work upstream.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager

import aiohttp

from models.spec import Timeouts
from serving.errors import UpstreamDisconnected, UpstreamFailed, UpstreamInvalid, UpstreamRefused, UpstreamTimeout
from serving.upstreams.upstream import UpstreamRequest

_OWN_HEADERS = ("User-Agent", "Accept", "Accept-Encoding")

MAX_ANSWER_BYTES = 64 << 20
"""The longest whole answer that is read, bytes: long embedding batches fit, a runaway upstream does not."""


def open_session() -> aiohttp.ClientSession:
    """A session without a connection limit of its own (admission bounds concurrency) and without cookies.

    `Accept-Encoding` is never sent, so bodies arrive as they are relayed. Must be called inside a running loop.
    """
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=30, ttl_dns_cache=30),
        cookie_jar=aiohttp.DummyCookieJar(),
        skip_auto_headers=_OWN_HEADERS,
        auto_decompress=False,
    )


class HttpResponse:
    """A response whose head has arrived. See `serving.upstreams.upstream.UpstreamResponse`."""

    __slots__ = ("_response", "_silence", "concurrency", "headers", "replica", "status")

    def __init__(self, response: aiohttp.ClientResponse, *, replica: str, silence: "Silence") -> None:
        self._response = response
        self._silence = silence
        self.status = response.status
        self.headers: Mapping[str, str] = {name.lower(): value for name, value in response.headers.items()}
        self.replica = replica
        self.concurrency = 1

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body as it arrives from the socket."""
        silence = self._silence
        silence.cuts(self._response)
        with _translated(self.replica, silence):
            async for chunk in self._response.content.iter_any():
                silence.broken()
                yield chunk
                silence.begins()

    async def read(self) -> bytes:
        """The whole body. Raises `UpstreamInvalid` for one over `MAX_ANSWER_BYTES`."""
        return await read_whole(self.chunks(), self.replica)

    def arrived(self) -> bool:
        """See `UpstreamResponse.arrived`."""
        return self._response.content.is_eof()

    def judged(self, failure: UpstreamFailed | None) -> None:
        """See `UpstreamResponse.judged`. What a hosted API is worth is its breaker's to say."""

    async def close(self) -> None:
        """Cut the connection if the body is unfinished, else give it back to the pool. Idempotent."""
        self._silence.over()
        self._response.close()


class Silence:
    """The time a response may leave us without a byte: bounds the first chunk of a stream, its pauses, or a body.

    One timer for the whole response instead of one per chunk. Silence is what we wait through: a reader that is slow
    itself is not its upstream's silence.
    """

    __slots__ = ("_deadline_s", "_idle_s", "_loop", "_response", "_since_s", "_timer", "exceeded")

    def __init__(self, timeouts: Timeouts, *, stream: bool) -> None:
        self._loop = asyncio.get_running_loop()
        self._deadline_s = self._loop.time() + (timeouts.first_token_s if stream else timeouts.total_s)
        self._idle_s = timeouts.idle_s if stream else None
        self._since_s: float | None = None
        self._response: aiohttp.ClientResponse | None = None
        self._timer: asyncio.TimerHandle | None = None
        self.exceeded = False

    def head(self) -> asyncio.Timeout:
        """A bound for the wait until the head is here."""
        return asyncio.timeout_at(self._deadline_s)

    def cuts(self, response: aiohttp.ClientResponse) -> None:
        """From now on what is too long cuts `response`."""
        self._response = response
        self._timer = self._loop.call_at(self._deadline_s, self._cut)

    def broken(self) -> None:
        """A chunk is here."""
        self._since_s = None
        if self._idle_s is not None and self._timer is not None and self._deadline_s:
            self._deadline_s = 0.0
            self._timer.cancel()
            self._timer = self._loop.call_later(self._idle_s, self._listen, self._idle_s)

    def begins(self) -> None:
        """The next chunk is waited for."""
        self._since_s = self._loop.time()

    def over(self) -> None:
        """The response is closed."""
        if self._timer is not None:
            self._timer.cancel()

    def _listen(self, idle_s: float) -> None:
        now = self._loop.time()
        quiet_s = 0.0 if self._since_s is None else now - self._since_s
        if quiet_s < idle_s:
            self._timer = self._loop.call_later(max(idle_s - quiet_s, 0.1), self._listen, idle_s)
        else:
            self._cut()

    def _cut(self) -> None:
        self.exceeded = True
        if self._response is not None:
            self._response.close()


async def read_whole(chunks: AsyncIterator[bytes], replica: str) -> bytes:
    """All of `chunks`. Raises `UpstreamInvalid` when they are over `MAX_ANSWER_BYTES`."""
    parts, size = [], 0
    async for chunk in chunks:
        parts.append(chunk)
        size += len(chunk)
        if size > MAX_ANSWER_BYTES:
            raise UpstreamInvalid(f"{replica} answered with more than {MAX_ANSWER_BYTES} bytes")
    return b"".join(parts)


async def exchange(
    session: aiohttp.ClientSession,
    url: str,
    request: UpstreamRequest,
    *,
    headers: Mapping[str, str],
    replica: str,
    timeouts: Timeouts,
) -> HttpResponse:
    """POST and wait for the head.

    Raises `UpstreamRefused` (no connection, so nothing was sent), `UpstreamTimeout`, `UpstreamInvalid` (no HTTP) or
    `UpstreamDisconnected` (cut before the head).
    """
    silence = Silence(timeouts, stream=request.stream)
    with _translated(replica, silence):
        async with silence.head():
            response = await session.post(
                url,
                data=request.body,
                headers={"content-type": "application/json", "x-request-id": request.request_id}
                | dict(request.headers)
                | dict(headers),
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=timeouts.connect_s),
            )
    return HttpResponse(response, replica=replica, silence=silence)


@contextmanager
def _translated(replica: str, silence: Silence) -> Iterator[None]:
    try:
        yield
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        failure = _failure(error, replica, silence)
        failure.replica = replica
        raise failure from error


def _failure(error: Exception, replica: str, silence: Silence) -> UpstreamFailed:
    if isinstance(error, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError):
        refused = UpstreamRefused(f"{replica} cannot be reached")
        refused.sent = False
        return refused
    if silence.exceeded or isinstance(error, TimeoutError):
        return UpstreamTimeout(f"{replica} did not answer in time")
    if isinstance(error, aiohttp.ClientResponseError):
        return UpstreamInvalid(f"{replica} answered with something that is not HTTP")
    return UpstreamDisconnected(f"{replica} closed the connection before the answer was complete")
