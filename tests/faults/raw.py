"""Clients that are not HTTP libraries: sockets that say what no library would, or nothing, or do not listen.

Knows bytes, not what they mean.
"""

import asyncio
import json
import socket
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

CHUNK = 64 * 1024
PATIENCE_S = 120.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back until the server closed. `status` 0: nothing; `sent`: bytes of the request that it took."""

    status: int
    head: bytes
    body: bytes
    sent: int
    took_s: float

    @property
    def error(self) -> dict[str, Any]:
        """The error object; fails when the body is something else."""
        error: dict[str, Any] = json.loads(self.body)["error"]
        return error


def address(url: str) -> tuple[str, int]:
    """Host and port."""
    parts = urlsplit(url)
    assert parts.hostname
    assert parts.port
    return parts.hostname, parts.port


async def exchange(url: str, request: Iterable[bytes]) -> Answer:
    """Send `request` piece by piece while reading; stop sending as soon as the server has answered or closed."""
    began = time.monotonic()
    reader, writer = await asyncio.open_connection(*address(url))
    reading = asyncio.ensure_future(_until_closed(reader))
    sent = 0
    try:
        async with asyncio.timeout(PATIENCE_S):
            for piece in request:
                if reading.done():
                    break
                writer.write(piece)
                await writer.drain()
                sent += len(piece)
            raw = await reading
    except OSError:  # reset while sending: what was answered before it counts
        raw = await reading
    finally:
        reading.cancel()
        writer.transport.abort()
    head, _, body = raw.partition(b"\r\n\r\n")
    return Answer(int(head.split()[1]) if head else 0, head, body, sent, time.monotonic() - began)


async def _until_closed(reader: asyncio.StreamReader) -> bytes:
    """Everything, or one whole response with a content-length."""
    raw = b""
    while True:
        try:
            part = await reader.read(CHUNK)
        except OSError:
            return raw
        raw += part
        if not part or _whole(raw):
            return raw


def _whole(raw: bytes) -> bool:
    head, found, body = raw.partition(b"\r\n\r\n")
    lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    return bool(found and lengths) and len(body) >= int(lengths[0].split(b":")[1])


def post(path: str, key: str, body: bytes = b"", *headers: bytes, declared: int | None = None) -> bytes:
    """A POST with a JSON body; `declared`: the content-length it claims, -1 for none."""
    length = len(body) if declared is None else declared
    lines = [
        f"POST {path} HTTP/1.1".encode(),
        b"host: gateway",
        f"authorization: Bearer {key}".encode(),
        b"content-type: application/json",
        *([b"content-length: %d" % length] if length >= 0 else []),
        *headers,
    ]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


@dataclass(slots=True)
class Crowd:
    """Connections that hang. `closed`: how many the server has closed."""

    size: int
    closed: int = 0


@asynccontextmanager
async def crowd(url: str, beginnings: Sequence[bytes], size: int) -> AsyncIterator[Crowd]:
    """`size` connections that send one of `beginnings` each, in turn, and then nothing; all there on entering."""
    crowd = Crowd(size)
    loop = asyncio.get_running_loop()
    transports: list[asyncio.Transport] = []

    class Hanging(asyncio.Protocol):
        def connection_lost(self, exc: Exception | None) -> None:
            crowd.closed += 1

    try:
        for number in range(size):
            transport, _ = await loop.create_connection(Hanging, *address(url))
            transports.append(transport)
            if beginning := beginnings[number % len(beginnings)]:
                transport.write(beginning)
        yield crowd
    finally:
        for transport in transports:
            transport.abort()


def deaf(url: str, request: bytes, *, window: int = 4096) -> socket.socket:
    """A connection that sends `request` and reads nothing; `window`: bytes its kernel takes for it."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
    listener.connect(address(url))
    listener.sendall(request)
    return listener
