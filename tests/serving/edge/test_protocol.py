"""Connections that are no requests yet, or no readers any more: each ends when its time is over, and says why."""

import asyncio
import gc
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from serving.edge.server import graceful_server
from serving.settings import Settings
from serving.wire.presence import WATCH
from tests.doubles.lifespan import lifespan
from tests.doubles.running_gateway import eventually

HEAD = b"POST / HTTP/1.1\r\nhost: x\r\n"
SOON_S = 0.2
LATE_S = 60.0


class App:
    """Answers by path: `/` at once, `/echo` after the body, `/flood` without end, `/watch` once its client left."""

    def __init__(self) -> None:
        self.begun = 0
        self.answered = 0
        self.gone = asyncio.Event()
        self.drained = False

    def drain(self) -> None:
        """See `Leaving`."""
        self.drained = True

    def cut(self) -> None:
        """See `Leaving`."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See the ASGI specification."""
        if scope["type"] == "lifespan":
            await lifespan(receive, send)
            return
        body = b"ok"
        self.begun += 1
        if scope["path"] == "/watch":
            await _body(receive)
            scope["extensions"][WATCH](self.gone.set)
            self.answered += 1
            await self.gone.wait()
        if scope["path"] == "/echo":
            body = await _body(receive)
        headers = [] if scope["path"] == "/flood" else [(b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        self.answered += 1
        if scope["path"] == "/flood":
            await self._flood(receive, send)
            return
        await send({"type": "http.response.body", "body": body, "more_body": False})

    async def _flood(self, receive: Receive, send: Send) -> None:
        sending = asyncio.ensure_future(_without_end(send))
        while (await receive())["type"] != "http.disconnect":
            pass
        sending.cancel()
        self.gone.set()


async def _without_end(send: Send) -> None:
    while True:
        await send({"type": "http.response.body", "body": b"x" * 65536, "more_body": True})
        await asyncio.sleep(0)


async def _body(receive: Receive) -> bytes:
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            return body


@asynccontextmanager
async def served(app: App, *, linger_s: float = LATE_S, **settings: Any) -> AsyncIterator[int]:
    """The app's port. Every timeout is far away unless `settings` say otherwise."""
    far = {"header_timeout_s": LATE_S, "keep_alive_timeout_s": LATE_S, "write_timeout_s": LATE_S}
    given = Settings.from_mapping(far | {"drain_notice_s": 0.0, "drain_timeout_s": 1.0} | settings, {})
    server = graceful_server(app, given, linger_s=linger_s, port=0)
    serving = asyncio.create_task(server.serve())
    try:
        await eventually(lambda: server.started or serving.done(), "uvicorn has started")
        yield int(server.servers[0].sockets[0].getsockname()[1])
    finally:
        server.should_exit = True
        await serving


async def said(port: int, *parts: bytes) -> bytes:
    """Send `parts`, then read until the server closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for part in parts:
            writer.write(part)
            await writer.drain()
        return await reader.read()
    finally:
        writer.close()


def error_of(answer: bytes) -> tuple[int, dict[str, Any]]:
    """Status and error of a response."""
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"\r\nx-request-id: req-" in head
    assert b"\r\nconnection: close" in head
    error: dict[str, Any] = json.loads(body)["error"]
    assert set(error) == {"message", "type", "param", "code"}
    return int(head.split()[1]), error


async def test_a_connection_without_a_word_is_closed() -> None:
    async with served(App(), header_timeout_s=SOON_S) as port:
        assert await said(port) == b""


@pytest.mark.parametrize("parts", [[HEAD], [HEAD, b"x: "], [b"\r\n"]], ids=["line", "two packets", "only a line end"])
async def test_half_a_head_is_closed_with_a_reason(parts: list[bytes]) -> None:
    async with served(App(), header_timeout_s=SOON_S) as port:
        status, error = error_of(await said(port, *parts))
        assert (status, error["code"]) == (408, "request_timeout")


async def test_half_a_second_head_is_closed_too() -> None:
    app = App()
    async with served(app, header_timeout_s=SOON_S) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(HEAD + b"\r\n")
        assert b"200" in await reader.readuntil(b"ok")
        writer.write(HEAD)
        assert error_of(await reader.read())[0] == 408
        writer.close()


async def test_a_head_without_end_is_refused_before_it_ends() -> None:
    app = App()
    async with served(app) as port:
        endless = [HEAD, *[b"x" * 4096] * 16]
        status, error = error_of(await said(port, *endless))
        assert (status, error["code"]) == (431, "headers_too_large")
        assert app.answered == 0


async def test_a_body_larger_than_any_head_is_no_head() -> None:
    async with served(App()) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(2):  # the second request begins in the packet that ends the first one's body
            writer.write(HEAD.replace(b"/", b"/echo", 1) + b"content-length: 300000\r\n\r\n" + b"y" * 300_000)
        for _ in range(2):
            await reader.readuntil(b"\r\n\r\n")
            assert await reader.readexactly(300_000) == b"y" * 300_000
        writer.close()


async def test_no_http_at_all() -> None:
    async with served(App()) as port:
        status, error = error_of(await said(port, b"\x16\x03\x01 no\r\n\r\n"))
        assert (status, error["code"]) == (400, "invalid_request")


async def test_an_idle_connection_is_closed() -> None:
    async with served(App(), keep_alive_timeout_s=SOON_S) as port:
        assert (await said(port, HEAD + b"\r\n")).endswith(b"ok")


async def test_one_connection_too_many_is_told() -> None:
    async with served(App(), max_connections=1, keep_alive_timeout_s=LATE_S) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(HEAD + b"\r\n")
        await reader.readuntil(b"ok")
        status, error = error_of(await said(port))
        assert (status, error["code"]) == (503, "overloaded")
        writer.write(HEAD + b"\r\n")
        await reader.readuntil(b"ok")
        writer.close()


async def test_a_body_after_its_answer_is_not_waited_for() -> None:
    async with served(App(), linger_s=SOON_S) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(HEAD + b"content-length: 100\r\n\r\nabc")
        assert b"200" in await reader.readuntil(b"ok")
        with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
            await reader.readexactly(1)
        writer.close()


async def test_who_does_not_read_is_cut() -> None:
    app = App()
    async with served(app, write_timeout_s=SOON_S) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
        writer.write(HEAD.replace(b"/", b"/flood", 1) + b"\r\n")
        await asyncio.wait_for(app.gone.wait(), LATE_S)
        writer.transport.abort()
        del reader


@pytest.mark.parametrize("size", [0, 200_000], ids=["no body", "a body that fills uvicorn's buffer"])
async def test_an_app_is_told_that_its_client_left(size: int) -> None:
    app = App()
    async with served(app) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"POST /watch HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % size)
        await writer.drain()
        await eventually(lambda: app.begun, "the app has begun")
        writer.write(b"x" * size)
        await eventually(lambda: app.answered, "the app is at work")
        assert not app.gone.is_set()
        writer.close()
        await asyncio.wait_for(app.gone.wait(), 10.0)
        assert await reader.read() == b""


async def test_an_app_is_told_though_another_request_waits_behind_its_own() -> None:
    app = App()
    async with served(app) as port:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /watch HTTP/1.1\r\nhost: x\r\n\r\n" + HEAD + b"\r\n")
        await eventually(lambda: app.answered, "the app is at work")
        writer.close()
        await asyncio.wait_for(app.gone.wait(), 10.0)


def cycles() -> int:
    """uvicorn's objects of requests that are still alive."""
    return sum(type(one) is RequestResponseCycle for one in gc.get_objects())  # `isinstance` would ask fakes


async def test_an_answered_request_leaves_nothing_behind() -> None:
    """No reference cycle: headers, a key among them, would live until the collector comes."""
    app = App()
    gc.collect()
    before = cycles()
    gc.disable()
    try:
        async with served(app) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            for _ in range(20):
                writer.write(HEAD + b"content-length: 0\r\n\r\n")
                await reader.readuntil(b"ok")
            after = cycles()
            writer.close()
    finally:
        gc.enable()
    assert after <= before + 1, "the connection's last one, and no other"
