"""One HTTP exchange over a shared aiohttp session: the transport under hosted APIs.

Knows nothing of replicas, keys or retries. Every aiohttp or socket error leaves here as an `UpstreamFailed`. Closing
a response whose body is unfinished cuts the connection, and that is what cancels the work upstream.
"""

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import aiohttp

from models.spec import Timeouts
from serving.errors import UpstreamDisconnected, UpstreamInvalid, UpstreamRefused, UpstreamTimeout
from serving.upstreams.upstream import UpstreamRequest

_OWN_HEADERS = ("User-Agent", "Accept", "Accept-Encoding")

MAX_ANSWER_BYTES = 64 << 20
"""The longest whole answer that is read, bytes: long embedding batches fit, a runaway upstream does not."""


@dataclass(frozen=True, slots=True)
class SocketTimeouts:
    """A model's `Timeouts` in aiohttp's terms. The first token and the whole request are bounded by dispatch."""

    stream: aiohttp.ClientTimeout
    unary: aiohttp.ClientTimeout

    @classmethod
    def of(cls, timeouts: Timeouts) -> "SocketTimeouts":
        """The silence allowed on the socket: between chunks of a stream, or before a whole answer."""
        silence_s = max(timeouts.idle_s, timeouts.first_token_s)
        return cls(
            stream=aiohttp.ClientTimeout(total=None, sock_connect=timeouts.connect_s, sock_read=silence_s),
            unary=aiohttp.ClientTimeout(total=None, sock_connect=timeouts.connect_s, sock_read=timeouts.total_s),
        )


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

    __slots__ = ("_response", "concurrency", "headers", "replica", "status")

    def __init__(self, response: aiohttp.ClientResponse, *, replica: str) -> None:
        self._response = response
        self.status = response.status
        self.headers: Mapping[str, str] = {name.lower(): value for name, value in response.headers.items()}
        self.replica = replica
        self.concurrency = 1

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body as it arrives from the socket."""
        with _translated(self.replica):
            async for chunk in self._response.content.iter_any():
                yield chunk

    async def read(self) -> bytes:
        """The whole body. Raises `UpstreamInvalid` for one over `MAX_ANSWER_BYTES`."""
        return await read_whole(self.chunks(), self.replica)

    async def close(self) -> None:
        """Cut the connection if the body is unfinished, else give it back to the pool. Idempotent."""
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
    timeouts: SocketTimeouts,
) -> aiohttp.ClientResponse:
    """POST and wait for the head.

    Raises `UpstreamRefused` (no connection, so nothing was sent), `UpstreamTimeout` or `UpstreamDisconnected` (cut
    before the head).
    """
    with _translated(replica):
        return await session.post(
            url,
            data=request.body,
            headers={"content-type": "application/json", "x-request-id": request.request_id}
            | dict(request.headers)
            | dict(headers),
            allow_redirects=False,
            timeout=timeouts.stream if request.stream else timeouts.unary,
        )


@contextmanager
def _translated(replica: str) -> Iterator[None]:
    try:
        yield
    except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
        raise UpstreamRefused(f"{replica} cannot be reached") from error
    except (aiohttp.ServerTimeoutError, TimeoutError) as error:
        raise UpstreamTimeout(f"{replica} did not answer in time") from error
    except (aiohttp.ClientError, OSError) as error:
        raise UpstreamDisconnected(f"{replica} closed the connection before the answer was complete") from error
