"""The transport: every foreign error has a name of ours, bodies are bounded, closing happens once."""

import asyncio
import ssl

import aiohttp
import pytest

from models.spec import Timeouts
from serving.errors import UpstreamDisconnected, UpstreamFailed, UpstreamInvalid, UpstreamRefused, UpstreamTimeout
from serving.upstreams import hosted_http as http_upstream
from serving.upstreams.hosted_http import HttpResponse, SocketTimeouts, exchange, open_session
from serving.upstreams.upstream import UpstreamRequest
from tests.serving.fake_session import FakeClientResponse, FakeSession, unreachable

REQUEST = UpstreamRequest("/v1/x", b"{}", "req-1", headers={"traceparent": "00"})
TIMEOUTS = SocketTimeouts.of(Timeouts(connect_s=1.0, first_token_s=7.0, idle_s=3.0, total_s=60.0))

ERRORS = [
    pytest.param(unreachable(), UpstreamRefused, id="nobody listens"),
    pytest.param(aiohttp.ConnectionTimeoutError(), UpstreamRefused, id="no connection in time"),
    pytest.param(aiohttp.SocketTimeoutError(), UpstreamTimeout, id="silence"),
    pytest.param(TimeoutError(), UpstreamTimeout, id="timeout"),
    pytest.param(aiohttp.ServerDisconnectedError(), UpstreamDisconnected, id="disconnected"),
    pytest.param(aiohttp.ClientPayloadError(), UpstreamDisconnected, id="half a body"),
    pytest.param(ConnectionResetError(), UpstreamDisconnected, id="reset"),
    pytest.param(ssl.SSLError(), UpstreamDisconnected, id="TLS broke"),
]


@pytest.mark.parametrize(("raised", "expected"), ERRORS)
async def test_errors_before_the_head(raised: Exception, expected: type[UpstreamFailed]) -> None:
    session = FakeSession(lambda url: raised).as_session()
    with pytest.raises(expected, match="replica-0") as caught:
        await exchange(session, "http://h/v1/x", REQUEST, headers={}, replica="replica-0", timeouts=TIMEOUTS)
    assert caught.value.__cause__ is raised


@pytest.mark.parametrize(("raised", "expected"), ERRORS)
@pytest.mark.parametrize("whole", [True, False], ids=["read", "chunks"])
async def test_errors_within_the_body(raised: Exception, expected: type[UpstreamFailed], whole: bool) -> None:
    response = HttpResponse(FakeClientResponse(error=raised), replica="replica-0")  # type: ignore[arg-type]
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


def test_the_silence_allowed_on_the_socket() -> None:
    assert TIMEOUTS.stream.sock_read == 7.0
    assert TIMEOUTS.unary.sock_read == 60.0
    assert TIMEOUTS.stream.sock_connect == TIMEOUTS.unary.sock_connect == 1.0
    assert TIMEOUTS.stream.total is TIMEOUTS.unary.total is None


async def test_a_body_over_the_bound_is_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_upstream, "MAX_ANSWER_BYTES", 8)
    fits = HttpResponse(FakeClientResponse(chunks=[b"1234", b"5678"]), replica="r")  # type: ignore[arg-type]
    assert await fits.read() == b"12345678"
    over = HttpResponse(FakeClientResponse(chunks=[b"1234", b"56789"]), replica="r")  # type: ignore[arg-type]
    with pytest.raises(UpstreamInvalid, match="more than 8 bytes"):
        await over.read()


async def test_closing_twice_closes_the_response_and_names_are_in_lower_case() -> None:
    inner = FakeClientResponse(headers={"Content-Type": "a", "RETRY-AFTER": "1"})
    response = HttpResponse(inner, replica="r")  # type: ignore[arg-type]
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
