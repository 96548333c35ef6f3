"""`ReplicaHttp` without a network: what each POST gives back, and where it went."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from typing import cast

from models.spec import Timeouts
from serving.errors import UpstreamFailed
from serving.upstreams.replica_http import ReplicaHttp
from serving.upstreams.upstream import UpstreamRequest


class FakeExchange:
    """The part of `serving.upstreams.replica_http.Exchange` that an upstream uses."""

    status = 200

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.headers: dict[str, str] = {}
        self.closed = 0
        self.failure: UpstreamFailed | None = None

    async def body(self) -> AsyncIterator[bytes]:
        """The content at once."""
        yield self.content

    def close(self) -> None:
        """Count it: once is right."""
        self.closed += 1


class FakeReplicas:
    """Answers every POST, or raises what `failing` has for its URL."""

    def __init__(self, failing: Callable[[str], Exception | None]) -> None:
        self._failing = failing
        self.posted: list[tuple[str, Mapping[str, str]]] = []
        self.exchanges: list[FakeExchange] = []
        self.hold: asyncio.Event | None = None
        """When set, every POST waits for it before its answer."""
        self.quiet: float | None = None
        """What `quiet_s` says."""
        self.content = b"{}"
        """What every body is."""
        self.given_up: list[str] = []

    def quiet_s(self, replica: str) -> float | None:
        """See `ReplicaHttp.quiet_s`."""
        return self.quiet

    def give_up(self, replica: str) -> None:
        """See `ReplicaHttp.give_up`."""
        self.given_up.append(replica)

    async def post(
        self, url: str, request: UpstreamRequest, *, headers: Mapping[str, str], replica: str, timeouts: Timeouts
    ) -> FakeExchange:
        """See `ReplicaHttp.post`."""
        self.posted.append((url + request.path, headers))
        await (self.hold.wait() if self.hold else asyncio.sleep(0))
        if error := self._failing(url):
            raise error
        self.exchanges.append(FakeExchange(self.content))
        return self.exchanges[-1]

    def as_http(self) -> ReplicaHttp:
        """The same object under the type that the upstream asks for."""
        return cast(ReplicaHttp, self)

    @property
    def urls(self) -> list[str]:
        """Where was posted to, in order."""
        return [url for url, _ in self.posted]
