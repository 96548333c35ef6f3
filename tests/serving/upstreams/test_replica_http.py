"""HTTP to replicas over real sockets: reuse, cuts at every place, odd servers, and back-pressure."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from models.spec import Timeouts
from serving.errors import UpstreamDisconnected, UpstreamInvalid, UpstreamRefused, UpstreamTimeout
from serving.upstreams import replica_http
from serving.upstreams.replica_http import BUFFERED_BYTES, Exchange, ReplicaHttp, head
from serving.upstreams.upstream import UpstreamRequest
from tests.serving.asgi_call import until

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
REQUEST = UpstreamRequest("/v1/x", b'{"a":1}', "req-1", headers={"traceparent": "00-1"})
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\ncontent-length: 5\r\n\r\nhello"


class Server:
    """A raw server: `serve` is called per connection; requests are counted."""

    def __init__(self, serve: Serve) -> None:
        self._serve = serve
        self.connections = 0
        self.requests: list[bytes] = []
        self.writers: list[asyncio.StreamWriter] = []
        self.url = ""

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        self.connections += 1
        self.writers.append(writer)
        try:
            await self._serve(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def next_request(self, reader: asyncio.StreamReader) -> None:
        """Read a request and note it."""
        top = await reader.readuntil(b"\r\n\r\n")
        self.requests.append(top + await reader.readexactly(len(REQUEST.body)))


@asynccontextmanager
async def serving(serve: Serve) -> AsyncIterator[tuple[Server, ReplicaHttp]]:
    server = Server(serve)
    listener = await asyncio.start_server(server.handle, "127.0.0.1", 0)
    server.url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    try:
        async with ReplicaHttp() as http:
            yield server, http
    finally:
        for writer in server.writers:
            writer.transport.abort()
        listener.close()
        await asyncio.sleep(0)


def answering(answer: bytes, *, after: bytes = b"") -> Serve:
    """A server that gives every request the same answer; `after` is sent behind it, then the connection is closed."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            top = await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(int(top.lower().split(b"content-length: ")[1].split(b"\r\n")[0]))
            writer.write(answer + after)
            if after:
                return

    return serve


async def post(
    server: Server, http: ReplicaHttp, *, stream: bool = False, replica: str = "r", **timeouts: float
) -> Exchange:
    return await http.post(
        server.url,
        replace(REQUEST, stream=stream),
        headers={"authorization": "Bearer t"},
        replica=replica,
        timeouts=Timeouts(**{"connect_s": 5.0, **timeouts}),
    )


async def whole(exchange: Exchange) -> bytes:
    body = b"".join([chunk async for chunk in exchange.body()])
    exchange.close()
    return body


async def test_a_finished_exchange_leaves_its_connection_for_the_next() -> None:
    async with serving(answering(ANSWER)) as (server, http):
        for _ in range(3):
            exchange = await post(server, http)
            assert (exchange.status, exchange.headers["content-type"]) == (200, "text/plain")
            assert await whole(exchange) == b"hello"
        assert server.connections == 1


async def test_exchanges_at_once_have_connections_of_their_own() -> None:
    async with serving(answering(ANSWER)) as (server, http):
        exchanges = await asyncio.gather(*(post(server, http) for _ in range(4)))
        assert [await whole(exchange) for exchange in exchanges] == [b"hello"] * 4
        assert server.connections == 4


async def test_an_unread_body_costs_the_connection() -> None:
    async with serving(answering(ANSWER.replace(b"length: 5", b"length: 9"))) as (server, http):
        (await post(server, http)).close()
        (await post(server, http)).close()
        assert server.connections == 2


@given(st.lists(st.integers(1, 40), min_size=1, max_size=8))
def test_chunked_bodies_arrive_however_they_are_cut(sizes: list[int]) -> None:
    body = b"".join(b"%x\r\n%s\r\n" % (size, b"x" * size) for size in sizes) + b"0\r\n\r\n"
    answer = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + body

    async def run() -> bytes:
        async with serving(answering(answer)) as (server, http):
            return await whole(await post(server, http))

    assert asyncio.run(run()) == b"x" * sum(sizes)


async def test_a_connection_closed_while_idle_is_replaced_unseen() -> None:
    closing = ANSWER.replace(b"\r\n\r\n", b"\r\nkeep-alive: whatever\r\n\r\n")
    async with serving(answering(closing, after=b" ")) as (server, http):
        assert await whole(await post(server, http)) == b"hello"
        assert await whole(await post(server, http)) == b"hello"
        assert server.connections == 2


async def test_a_kept_connection_that_is_cut_while_it_is_worked_on_is_a_failure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(replica_http, "STALE_S", 0.0)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await server.next_request(reader)
        writer.write(ANSWER)
        await server.next_request(reader)

    async with serving(serve) as (server, http):
        assert await whole(await post(server, http)) == b"hello"
        with pytest.raises(UpstreamDisconnected):
            await post(server, http)
        assert len(server.requests) == 2


async def test_nobody_listening_is_refused() -> None:
    async with serving(answering(ANSWER)) as (server, http):
        server.url = "http://127.0.0.1:1"
        with pytest.raises(UpstreamRefused, match="cannot be reached"):
            await post(server, http)


@pytest.mark.parametrize("sent", [b"", ANSWER[:10], ANSWER[:-2]], ids=["before the head", "in the head", "in the body"])
async def test_a_cut_is_told(sent: bytes) -> None:
    async with serving(closing_after(sent)) as (server, http):
        with pytest.raises(UpstreamDisconnected):
            await whole(await post(server, http))


def closing_after(sent: bytes) -> Serve:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(sent)

    return serve


HEAD = ANSWER[:-5]


def saying(*parts: bytes) -> Serve:
    """A server that sends `parts` one by one, each when its reader may have got the one before, then nothing more."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        for part in parts:
            writer.write(part)
            await asyncio.sleep(0.01)
        await reader.read()

    return serve


@pytest.mark.parametrize("sent", [b"", ANSWER[:9], HEAD, ANSWER[:-2]], ids=["nothing", "half a head", "head", "half"])
async def test_a_whole_answer_has_its_time_however_it_comes(sent: bytes) -> None:
    async with serving(saying(sent)) as (server, http):
        with pytest.raises(UpstreamTimeout):
            await whole(await post(server, http, first_token_s=3600.0, idle_s=3600.0, total_s=0.1))
        for exchange in list(http._open):
            exchange.close()
        assert not http._idle


@pytest.mark.parametrize("sent", [b"", ANSWER[:9], HEAD], ids=["nothing", "half a head", "head"])
async def test_a_stream_has_its_time_until_the_first_chunk(sent: bytes) -> None:
    async with serving(saying(sent)) as (server, http):
        with pytest.raises(UpstreamTimeout):
            await whole(await post(server, http, stream=True, first_token_s=0.1, idle_s=3600.0, total_s=3600.0))


async def test_after_it_silence_counts() -> None:
    async with serving(saying(HEAD, b"he", b"l")) as (server, http):
        exchange = await post(server, http, stream=True, first_token_s=3600.0, idle_s=0.1, total_s=3600.0)
        body, received = exchange.body(), b""
        while received != b"hel":
            received += await anext(body)
        with pytest.raises(UpstreamTimeout):
            await anext(body)
        exchange.close()
        assert not http._idle


async def test_a_first_chunk_that_is_here_is_not_late_because_it_is_not_read_yet() -> None:
    async with serving(saying(HEAD, b"he")) as (server, http):
        exchange = await post(server, http, stream=True, first_token_s=3600.0, idle_s=3600.0)
        await until(lambda: exchange._buffered)
        exchange._first_is_late()
        assert await anext(exchange.body()) == b"he"
        exchange.close()


async def test_who_has_had_nothing_yet_is_given_up_with_the_replica() -> None:
    async with serving(saying(HEAD, b"he")) as (server, http), serving(saying(b"")) as (silent, _):
        begun = await post(server, http, stream=True)
        assert await anext(begun.body()) == b"he"
        waiting = [asyncio.ensure_future(post(silent, http, replica=name)) for name in ("r", "other")]
        await until(lambda: silent.connections == 2 and len(http._open) == 3)
        await asyncio.sleep(0)
        http.give_up("r")
        with pytest.raises(UpstreamTimeout, match="r did not answer in time") as caught:
            await waiting[0]
        assert caught.value.lost
        assert begun.failure is None
        assert not waiting[1].done()
        waiting[1].cancel()
        begun.close()


async def test_how_long_a_replica_has_been_quiet() -> None:
    async with serving(saying(HEAD, b"he")) as (server, http):
        assert http.quiet_s("r") is None
        exchange = await post(server, http, stream=True)
        assert http.quiet_s("r") is None
        assert await anext(exchange.body()) == b"he"
        quiet_s = http.quiet_s("r")
        assert quiet_s is not None
        assert quiet_s >= 0.0
        assert http.quiet_s("other") is None
        exchange.close()


async def test_what_reached_nobody_says_so() -> None:
    async with serving(answering(ANSWER)) as (server, http):
        server.url = "http://127.0.0.1:1"
        with pytest.raises(UpstreamRefused) as caught:
            await post(server, http)
        assert not caught.value.sent


async def test_what_is_not_http_is_invalid() -> None:
    async with serving(answering(b"SSH-2.0-what\r\n\r\n")) as (server, http):
        with pytest.raises(UpstreamInvalid):
            await post(server, http)


async def test_a_slow_reader_holds_the_replica_back() -> None:
    size = 64 * BUFFERED_BYTES
    sent = 0

    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % size)
        while sent < size:
            writer.write(b"x" * BUFFERED_BYTES)
            sent += BUFFERED_BYTES
            await writer.drain()

    async with serving(flood) as (server, http):
        exchange = await post(server, http)
        await until(lambda: exchange._paused)
        assert exchange._buffered < 4 * BUFFERED_BYTES
        assert sent < size
        assert len(await whole(exchange)) == size


async def test_giving_up_before_the_head_cuts_the_connection() -> None:
    cut = asyncio.Event()

    async def waiting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        cut.set()

    async with serving(waiting) as (server, http):
        task = asyncio.ensure_future(post(server, http))
        await until(lambda: server.connections)
        task.cancel()
        async with asyncio.timeout(10):
            await cut.wait()


def test_the_head_of_a_request() -> None:
    assert head("a:1", REQUEST, {"authorization": "Bearer t"}) == (
        b"POST /v1/x HTTP/1.1\r\nhost: a:1\r\ncontent-type: application/json\r\ncontent-length: 7\r\n"
        b"x-request-id: req-1\r\ntraceparent: 00-1\r\nauthorization: Bearer t\r\n\r\n"
    )
