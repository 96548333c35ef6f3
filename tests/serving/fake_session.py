"""An aiohttp session without a network: what each POST gives back, and how every response was left."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any, cast

import aiohttp

Outcome = "FakeClientResponse | Exception"


class FakeClientResponse:
    """The part of `aiohttp.ClientResponse` that the transport uses."""

    def __init__(
        self,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        chunks: Sequence[bytes] = (b"{}",),
        error: Exception | None = None,
    ) -> None:
        self.status = status
        self.headers = headers or {}
        self.content = self
        self.closed = False
        self._chunks = chunks
        self._error = error

    async def iter_any(self) -> AsyncIterator[bytes]:
        """The chunks, then the error if there is one."""
        for chunk in self._chunks:
            await asyncio.sleep(0)
            yield chunk
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        """Note that the connection was given back."""
        self.closed = True


class FakeSession:
    """Answers POSTs by `answer(url)`, which gives a response or an exception to raise."""

    def __init__(self, answer: Callable[[str], FakeClientResponse | Exception]) -> None:
        self._answer = answer
        self.posted: list[tuple[str, dict[str, Any]]] = []
        self.responses: list[FakeClientResponse] = []
        self.hold: asyncio.Event | None = None
        """When set, every POST waits for it before its answer."""

    async def post(self, url: str, **options: Any) -> FakeClientResponse:
        """See `aiohttp.ClientSession.post`."""
        self.posted.append((url, options))
        await (self.hold.wait() if self.hold else asyncio.sleep(0))
        outcome = self._answer(url)
        if isinstance(outcome, Exception):
            raise outcome
        self.responses.append(outcome)
        return outcome

    def as_session(self) -> aiohttp.ClientSession:
        """The same object under the type that the upstreams ask for."""
        return cast(aiohttp.ClientSession, self)

    @property
    def urls(self) -> list[str]:
        """Where was posted to, in order."""
        return [url for url, _ in self.posted]


def unreachable() -> Exception:
    """What aiohttp raises when nobody listens."""
    key = aiohttp.client_reqrep.ConnectionKey("host", 80, False, True, None, None, None)
    return aiohttp.ClientConnectorError(key, OSError(111, "refused"))
