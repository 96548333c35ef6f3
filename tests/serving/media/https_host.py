"""A host on the loopback that speaks real TLS and answers what a test scripts; it keeps what it was asked."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.doubles.certificate import self_signed


def answer(content: bytes, *headers: str, status: str = "200 OK") -> bytes:
    """A whole HTTP answer."""
    lines = [f"HTTP/1.1 {status}", f"content-length: {len(content)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + content


@dataclass
class HttpsHost:
    """`trusting` is a client's TLS context that trusts it; `script` what it sends, `endless` goes on with zeros."""

    name: str
    port: int
    trusting: ssl.SSLContext
    script: bytes = b""
    endless: bool = False
    silent: bool = False
    asked: list[str] = field(default_factory=list)
    """Heads of requests."""
    names: list[str | None] = field(default_factory=list)
    """Server names of TLS handshakes."""
    closed: int = 0

    def url(self, path: str = "/x.png") -> str:
        """A URL of this host."""
        return f"https://{self.name}:{self.port}{path}"

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        try:
            self.asked.append((await reader.readuntil(b"\r\n\r\n")).decode())
            writer.write(self.script)
            while self.endless and not writer.is_closing():
                writer.write(b"\0" * 65536)
                await writer.drain()
            if self.silent:
                await reader.read()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self.closed += 1
            writer.close()


@asynccontextmanager
async def https_host(folder: Path, name: str = "media.example.com") -> AsyncIterator[HttpsHost]:
    """A running host on 127.0.0.1 with a certificate for `name`."""
    certificate, key = self_signed(folder, name)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    host = HttpsHost(name, 0, ssl.create_default_context(cafile=str(certificate)))

    def note(_: object, server_name: str | None, __: object) -> None:
        host.names.append(server_name)

    tls.sni_callback = note
    server = await asyncio.start_server(host.talk, "127.0.0.1", 0, ssl=tls)
    host.port = server.sockets[0].getsockname()[1]
    async with server:
        yield host
