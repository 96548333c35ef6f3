"""What HAProxy does, under our settings, with a request whose gateway ends before it has said anything."""

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from serving.cluster.ports import free_port
from serving.cluster.ray_environment import serve_environment

GIVEN = serve_environment(Path("/h/.millrace"))
CONFIG = """
global
    tune.bufsize {bufsize}
defaults
    mode http
    timeout connect 5s
    timeout client 30s
    timeout server 30s
    option redispatch 1
    retry-on {retry_on}
    retries {retries}
    balance leastconn
frontend door
    bind 127.0.0.1:{port}
    default_backend gateways
backend gateways
    http-request wait-for-body time 30s
{servers}
"""
"""Serve's own settings where they matter here, and what haproxy_backend.cfg adds."""
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
BEGUN = b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nbegun"


class Gateway:
    """Notes every request, then says `answer` and ends the connection."""

    def __init__(self, answer: bytes) -> None:
        self.answer = answer
        self.bodies: list[bytes] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(line for line in head.lower().splitlines() if line.startswith(b"content-length"))
        self.bodies.append(await reader.readexactly(int(length.split(b":")[1])))
        writer.write(self.answer)
        writer.close()
        await writer.wait_closed()


@asynccontextmanager
async def behind_haproxy(folder: Path, gateways: Sequence[Gateway]) -> AsyncIterator[str]:
    """The URL of an HAProxy in front of `gateways`."""
    async with AsyncExitStack() as stack:
        servers = [
            await stack.enter_async_context(await asyncio.start_server(one.serve, "127.0.0.1", 0)) for one in gateways
        ]
        port = free_port()
        lines = [f"    server g{n} 127.0.0.1:{one.sockets[0].getsockname()[1]}" for n, one in enumerate(servers)]
        config = folder / "cfg"
        config.write_text(
            CONFIG.format(
                bufsize=GIVEN["RAY_SERVE_HAPROXY_TUNE_BUFSIZE"],
                retry_on=GIVEN["RAY_SERVE_HAPROXY_RETRY_ON"],
                retries=GIVEN["RAY_SERVE_HAPROXY_RETRIES"],
                port=port,
                servers="\n".join(lines),
            )
        )
        haproxy = await asyncio.create_subprocess_exec(GIVEN["HAPROXY_BINARY"], "-db", "-q", "-f", str(config))
        try:
            await _listening(port)
            yield f"http://127.0.0.1:{port}/"
        finally:
            haproxy.kill()
            await haproxy.wait()


async def _listening(port: int) -> None:
    async with asyncio.timeout(10):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.01)
                continue
            writer.close()
            await writer.wait_closed()
            return


async def asked(url: str, body: bytes) -> int | None:
    """The status of the answer; None when it was cut."""
    async with aiohttp.ClientSession() as session:
        try:
            async with session.post(url, data=body) as response:
                await response.read()
                return response.status
        except aiohttp.ClientError:
            return None


@pytest.mark.parametrize("size", [1, 100_000])
async def test_who_got_no_byte_is_given_to_another_gateway(tmp_path: Path, size: int) -> None:
    gateways, body = [Gateway(b""), Gateway(ANSWER)], os.urandom(size)
    async with behind_haproxy(tmp_path, gateways) as url:
        for _ in range(2):  # one of them begins at the gateway that ends, whichever that is
            assert await asked(url, body) == 200
    assert set(gateways[0].bodies) == {body}
    assert gateways[1].bodies == [body] * 2


async def test_what_ends_gateways_ends_two_of_them(tmp_path: Path) -> None:
    gateways = [Gateway(b"") for _ in range(4)]
    async with behind_haproxy(tmp_path, gateways) as url:
        assert await asked(url, b"poison") == 502
    assert sum(len(one.bodies) for one in gateways) == 2


async def test_who_got_a_byte_is_given_to_nobody_else(tmp_path: Path) -> None:
    gateways = [Gateway(BEGUN) for _ in range(2)]
    async with behind_haproxy(tmp_path, gateways) as url:
        assert await asked(url, b"x") is None
    assert sum(len(one.bodies) for one in gateways) == 1
