"""A client that goes away takes its work along: upstream is cancelled, the place is free, the request is counted."""

import asyncio
import contextlib
import json
import socket
from pathlib import Path
from typing import Any

import pytest

from tests.doubles.running_gateway import (
    CHAT,
    METRICS_TOKEN,
    GatewayServer,
    House,
    chat_body,
    eventually,
    running_gateway,
)

ENDLESS = {"stall_after": 2}
SILENT = {"hang": True}


async def open_request(
    gateway: GatewayServer, body: dict[str, Any]
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A request over a socket of our own, so that the test decides when and how it closes."""
    host, _, port = gateway.url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(raw_request(gateway, body))
    await writer.drain()
    return reader, writer


def raw_request(gateway: GatewayServer, body: dict[str, Any]) -> bytes:
    """The bytes of a chat request."""
    raw = json.dumps(body).encode()
    fields = f"host: x\r\nauthorization: Bearer {gateway.key}\r\ncontent-length: {len(raw)}"
    return f"POST {CHAT} HTTP/1.1\r\n{fields}\r\n\r\n".encode() + raw


@pytest.mark.parametrize("abrupt", [False, True], ids=["fin", "reset"])
@pytest.mark.parametrize(
    ("stream", "script"),
    [(False, SILENT), (False, ENDLESS), (True, SILENT), (True, ENDLESS)],
    ids=["unary, no head", "unary, half a body", "stream, no head", "stream, after two frames"],
)
@pytest.mark.parametrize("model", ["auto", "hosted-model"])
async def test_client_that_goes_away_cancels_upstream(
    gateway: GatewayServer, model: str, stream: bool, script: dict[str, Any], abrupt: bool
) -> None:
    upstream = gateway.house.hosted if model == "hosted-model" else gateway.house.small
    upstream.script(script)
    reader, writer = await open_request(gateway, chat_body(model=model, stream=stream))
    if stream and script == ENDLESS:
        assert await reader.readuntil(b'"role"')
    await eventually(lambda: upstream.state()["in_flight"] == 1, "the request is in flight upstream")
    if abrupt:
        writer.transport.abort()
    else:
        writer.close()
    await eventually(lambda: upstream.state()["cancelled"] == 1, "the upstream request is cancelled")
    assert upstream.state()["in_flight"] == 0
    await eventually(lambda: _closed_and_counted(gateway), "the request is counted as 499")
    assert sum(stand_in.state()["requests"] for stand_in in gateway.house.all) == 1


async def _closed_and_counted(gateway: GatewayServer) -> bool:
    page = (await gateway.get("/metrics", key=METRICS_TOKEN)).body.decode()
    return 'status="499"' in page and "millrace_in_flight 0.0" in page


async def test_others_go_on(gateway: GatewayServer) -> None:
    gateway.house.small.script(ENDLESS, {"delay_chunk_s": 0.1})
    _, leaving = await open_request(gateway, chat_body(stream=True))
    await eventually(lambda: gateway.house.small.state()["frames"] == 2, "the first request has begun")
    staying = asyncio.create_task(gateway.chat(stream=True))
    await eventually(lambda: gateway.house.small.state()["in_flight"] == 2, "both are in flight")
    leaving.close()
    assert (await staying).events[-1] == "[DONE]"
    assert gateway.house.large.state()["requests"] == 0


async def test_connection_is_kept_for_the_next_request(gateway: GatewayServer) -> None:
    reader, writer = await open_request(gateway, chat_body())
    for turn in range(2):
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200")
        length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        assert b'"2 3 4"' in await reader.readexactly(int(length.partition(b":")[2]))
        if turn == 0:
            writer.write(raw_request(gateway, chat_body()))
    writer.close()


async def test_a_client_that_stops_reading_is_cut_and_never_reads_a_clean_end(house: House, tmp_path: Path) -> None:
    async with running_gateway(house, tmp_path, write_timeout_s=0.3) as gateway:
        await gateway.stop_probing()
        upstream = house.small
        upstream.script({"answer": ("word" * 60 + " ") * 40_000})  # more than sockets hold
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.setblocking(False)
        host, _, port = gateway.url.removeprefix("http://").partition(":")
        await asyncio.get_running_loop().sock_connect(sock, (host, int(port)))
        reader, writer = await asyncio.open_connection(sock=sock, limit=1024)
        writer.write(raw_request(gateway, chat_body(stream=True)))
        await reader.readuntil(b'"role"')
        await eventually(lambda: _closed_and_counted(gateway), "the request is counted as 499")
        await eventually(lambda: upstream.state()["in_flight"] == 0, "the upstream request is over")
        assert upstream.state()["cancelled"] == 1
        seen = b""
        with contextlib.suppress(ConnectionError):
            while part := await reader.read(1 << 16):
                seen += part
        assert b"[DONE]" not in seen
        assert not seen.endswith(b"\r\n0\r\n\r\n")
        writer.close()
