"""The transport: every foreign error has a name of ours, bodies are bounded, closing happens once."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from msgspec.structs import replace

from models.spec import Timeouts
from serving.errors import UpstreamDisconnected, UpstreamFailed, UpstreamInvalid, UpstreamRefused, UpstreamTimeout
from serving.upstreams import hosted_http as http_upstream
from serving.upstreams.hosted_http import HttpResponse, Silence, exchange, open_session
from serving.upstreams.upstream import UpstreamRequest
from tests.serving.fake_session import FakeClientResponse, FakeSession, unreachable

REQUEST = UpstreamRequest("/v1/x", b"{}", "req-1", headers={"traceparent": "00"})
TIMEOUTS = Timeouts(connect_s=1.0, first_token_s=7.0, idle_s=3.0, total_s=60.0)


def response_of(inner: FakeClientResponse) -> HttpResponse:
    return HttpResponse(inner, replica="replica-0", silence=Silence(TIMEOUTS, stream=False))  # type: ignore[arg-type]


ERRORS = [
    pytest.param(unreachable(), UpstreamRefused, id="nobody listens"),
    pytest.param(aiohttp.ConnectionTimeoutError(), UpstreamRefused, id="no connection in time"),
    pytest.param(aiohttp.SocketTimeoutError(), UpstreamTimeout, id="silence"),
    pytest.param(TimeoutError(), UpstreamTimeout, id="timeout"),
    pytest.param(aiohttp.ServerDisconnectedError(), UpstreamDisconnected, id="disconnected"),
    pytest.param(aiohttp.ClientPayloadError(), UpstreamDisconnected, id="half a body"),
    pytest.param(ConnectionResetError(), UpstreamDisconnected, id="reset"),
    pytest.param(ssl.SSLError(), UpstreamDisconnected, id="TLS broke"),
    pytest.param(aiohttp.ClientResponseError(None, ()), UpstreamInvalid, id="no HTTP"),  # type: ignore[arg-type]
]


@pytest.mark.parametrize(("raised", "expected"), ERRORS)
async def test_errors_before_the_head(raised: Exception, expected: type[UpstreamFailed]) -> None:
    session = FakeSession(lambda url: raised).as_session()
    with pytest.raises(expected, match="replica-0") as caught:
        await exchange(session, "http://h/v1/x", REQUEST, headers={}, replica="replica-0", timeouts=TIMEOUTS)
    assert caught.value.__cause__ is raised
    assert caught.value.sent is (expected is not UpstreamRefused)


@pytest.mark.parametrize(("raised", "expected"), ERRORS)
@pytest.mark.parametrize("whole", [True, False], ids=["read", "chunks"])
async def test_errors_within_the_body(raised: Exception, expected: type[UpstreamFailed], whole: bool) -> None:
    response = response_of(FakeClientResponse(error=raised))
    with pytest.raises(expected):
        await response.read() if whole else [chunk async for chunk in response.chunks()]


async def test_a_cancelled_exchange_stays_cancelled() -> None:
    session = FakeSession(lambda url: FakeClientResponse())
    session.hold = asyncio.Event()
    sending = exchange(session.as_session(), "http://h", REQUEST, headers={}, replica="r", timeouts=TIMEOUTS)
    task = asyncio.ensure_future(sending)
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_what_is_posted() -> None:
    session = FakeSession(lambda url: FakeClientResponse())
    own = {"authorization": "Bearer t"}
    await exchange(session.as_session(), "http://h/v1/x", REQUEST, headers=own, replica="r", timeouts=TIMEOUTS)
    ((url, options),) = session.posted
    assert url == "http://h/v1/x"
    assert options["headers"] == {
        "content-type": "application/json",
        "x-request-id": "req-1",
        "traceparent": "00",
        "authorization": "Bearer t",
    }
    assert (options["data"], options["allow_redirects"]) == (b"{}", False)


async def test_the_socket_itself_bounds_only_the_connection() -> None:
    session = FakeSession(lambda url: FakeClientResponse())
    await exchange(session.as_session(), "http://h/v1/x", REQUEST, headers={}, replica="r", timeouts=TIMEOUTS)
    ((_, options),) = session.posted
    assert options["timeout"] == aiohttp.ClientTimeout(total=None, sock_connect=1.0)


async def test_a_body_over_the_bound_is_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_upstream, "MAX_ANSWER_BYTES", 8)
    fits = response_of(FakeClientResponse(chunks=[b"1234", b"5678"]))
    assert await fits.read() == b"12345678"
    over = response_of(FakeClientResponse(chunks=[b"1234", b"56789"]))
    with pytest.raises(UpstreamInvalid, match="more than 8 bytes"):
        await over.read()


async def test_closing_twice_closes_the_response_and_names_are_in_lower_case() -> None:
    inner = FakeClientResponse(headers={"Content-Type": "a", "RETRY-AFTER": "1"})
    response = response_of(inner)
    assert response.headers == {"content-type": "a", "retry-after": "1"}
    await response.close()
    await response.close()
    assert inner.closed


async def test_a_session_sends_nothing_of_its_own_and_keeps_no_cookies() -> None:
    async with open_session() as session:
        assert isinstance(session.cookie_jar, aiohttp.DummyCookieJar)
        assert session.skip_auto_headers == {"User-Agent", "Accept", "Accept-Encoding"}
        assert session.connector is not None
        assert session.connector.limit == 0
        assert not session.trust_env


HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


@asynccontextmanager
async def saying(*parts: bytes) -> AsyncIterator[str]:
    """The URL of a server that says `parts`, a moment apart, then nothing more; the connection stays open."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        await reader.readuntil(b"\r\n\r\n")
        for part in parts:
            writer.write(part)
            await asyncio.sleep(0.01)
        with contextlib.suppress(ConnectionError):
            await reader.read()

    writers: list[asyncio.StreamWriter] = []
    listener = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}/v1/x"
    finally:
        for writer in writers:
            writer.transport.abort()
        listener.close()
        await asyncio.sleep(0)


async def received(
    url: str, *, stream: bool, pause_s: float = 0.0, **timeouts: float
) -> tuple[bytes, Exception | None]:
    """What came, and what ended it. `pause_s`: how slow the reader is."""
    got = b""
    try:
        async with open_session() as session:
            response = await exchange(
                session,
                url,
                replace(REQUEST, stream=stream),
                headers={},
                replica="r",
                timeouts=Timeouts(**{"connect_s": 5.0, **timeouts}),
            )
            async for chunk in response.chunks():
                got += chunk
                await asyncio.sleep(pause_s)
    except UpstreamFailed as failure:
        return got, failure
    return got, None


NEVER = 3600.0


@pytest.mark.parametrize("sent", [b"", HEAD[:9], HEAD], ids=["nothing", "half a head", "head"])
async def test_a_stream_has_its_time_until_the_first_chunk(sent: bytes) -> None:
    async with saying(sent) as url:
        got, failure = await received(url, stream=True, first_token_s=0.1, idle_s=NEVER, total_s=NEVER)
    assert got == b""
    assert isinstance(failure, UpstreamTimeout)


async def test_after_it_silence_counts_but_not_that_of_the_reader() -> None:
    async with saying(HEAD, b"2\r\nhe\r\n", b"1\r\nl\r\n") as url:
        patience = {"first_token_s": NEVER, "idle_s": 0.1, "total_s": NEVER}
        got, failure = await received(url, stream=True, pause_s=0.3, **patience)
    assert got == b"hel"
    assert isinstance(failure, UpstreamTimeout)


@pytest.mark.parametrize("sent", [b"", HEAD, HEAD + b"2\r\nhe\r\n"], ids=["nothing", "head", "half a body"])
async def test_a_whole_answer_has_its_time_however_it_comes(sent: bytes) -> None:
    async with saying(sent) as url:
        got, failure = await received(url, stream=False, first_token_s=NEVER, idle_s=NEVER, total_s=0.1)
    assert got in (b"", b"he")
    assert isinstance(failure, UpstreamTimeout)


async def test_a_name_that_does_not_exist_is_refused_and_nothing_was_sent() -> None:
    async with open_session() as session:
        with pytest.raises(UpstreamRefused) as caught:
            await exchange(session, "http://nobody.invalid/v1/x", REQUEST, headers={}, replica="r", timeouts=Timeouts())
    assert not caught.value.sent
