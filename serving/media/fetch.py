"""One https GET to an address that was checked: resolved once, pinned, verified, without redirects.

Knows what it may connect to, not what it may bring back: bytes are handed over as they arrive and accounted by the
caller. What goes wrong is told to the client in words that say nothing about our network. Raises `MediaRefused` for an
answer that would be the same again and `MediaUnavailable` for one that might not.
"""

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Protocol

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from serving.errors import MediaUnavailable
from serving.media.address import is_public
from serving.media.carriers import Carried
from serving.media.content import refused
from serving.media.location import Location

_NO_TIMEOUT = aiohttp.ClientTimeout(total=None)
"""The caller's own bounds all fetches of a request together."""
_HEADERS = {"accept": "image/*, video/*, audio/*, application/pdf", "accept-encoding": "identity"}


class Resolver(Protocol):
    """From a name to its addresses."""

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        """IP literals, at least one. Raises `OSError`."""


async def system_resolver(host: str, port: int) -> list[str]:
    """What the machine's own resolver says."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(info[4][0]) for info in found]


class Fetcher:
    """Fetches from public addresses. `tls` verifies by default; `is_allowed` judges every address of a name."""

    def __init__(
        self,
        *,
        resolver: Resolver = system_resolver,
        is_allowed: Callable[[str], bool] = is_public,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._resolver = resolver
        self._is_allowed = is_allowed
        self._tls = tls or ssl.create_default_context()

    @asynccontextmanager
    async def open(self, location: Location, one: Carried) -> AsyncIterator[AsyncIterator[bytes]]:
        """The body of `location` as it arrives, once its head says 200."""
        try:
            addresses = await self._addresses(location, one)
            async with (
                self._session(addresses) as session,
                session.get(_url(location), headers=_HEADERS, allow_redirects=False) as response,
            ):
                self._check_head(response, one)
                yield response.content.iter_any()
        except (aiohttp.ClientError, OSError) as error:
            raise MediaUnavailable(f"{one.param}: the host could not be reached over https", param=one.param) from error

    async def _addresses(self, location: Location, one: Carried) -> Sequence[str]:
        addresses = await self._resolver(location.host, location.port)
        if not addresses or not all(map(self._is_allowed, addresses)):
            raise refused(one, f"{location.host} is not a host of the public internet; send a 'data:' URL")
        return addresses

    def _session(self, addresses: Sequence[str]) -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(
            resolver=_Pinned(addresses), use_dns_cache=False, ssl=self._tls, limit=1, force_close=True
        )
        return aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            timeout=_NO_TIMEOUT,
        )

    def _check_head(self, response: aiohttp.ClientResponse, one: Carried) -> None:
        status = response.status
        if status >= 500 or status in (408, 429):
            raise MediaUnavailable(f"{one.param}: the host answered with status {status}", param=one.param)
        if 300 <= status < 400:
            raise refused(one, "the host answered with a redirect, which is not followed; name the final URL")
        if status != 200:
            raise refused(one, f"the host answered with status {status}")
        if response.headers.get("content-encoding", "identity") != "identity":
            raise refused(one, "the host sent the content compressed; have it sent as it is")


class _Pinned(AbstractResolver):
    """Gives the addresses that were checked, whatever the name says by now."""

    def __init__(self, addresses: Sequence[str]) -> None:
        self._addresses = addresses

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """See aiohttp."""
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET if ipaddress.ip_address(address).version == 4 else socket.AF_INET6,
                proto=socket.IPPROTO_TCP,
                flags=socket.AI_NUMERICHOST,
            )
            for address in self._addresses
        ]

    async def close(self) -> None:
        """See aiohttp."""


def _url(location: Location) -> URL:
    """Built of the parts that were checked, so that nothing is parsed a second time."""
    return URL.build(
        scheme="https",
        host=location.host,
        port=location.port,
        path=location.path,
        query_string=location.query,
        encoded=True,
    )
