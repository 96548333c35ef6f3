"""A self-hosted model as an `Upstream`: picks one of its live replicas and speaks HTTP straight to it.

Counts its own requests in flight per replica; knows nothing of other models, tenants or retries across models. A
replica that refuses the connection is passed over for a moment and the next one is tried: nothing was sent to it.
"""

from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Mapping

from models.spec import ModelSpec
from routing.picker import Replica, ReplicaPicker
from serving.errors import UpstreamFailed, UpstreamRefused
from serving.upstreams.hosted_http import read_whole
from serving.upstreams.replica_http import Exchange, ReplicaHttp
from serving.upstreams.replicas import ReplicaSource
from serving.upstreams.upstream import UpstreamRequest

PASSED_OVER_S = 2.0
"""How long a replica that failed is avoided while another one is live, seconds."""


class ReplicaResponse:
    """An answer of a replica whose head has arrived. See `serving.upstreams.upstream.UpstreamResponse`."""

    __slots__ = ("_body", "_exchange", "_release", "concurrency", "headers", "replica", "status")

    def __init__(self, exchange: Exchange, replica: str, concurrency: int, release: Callable[[], None]) -> None:
        self._exchange: Exchange | None = exchange
        self._release = release
        self.status = exchange.status
        self.headers: Mapping[str, str] = exchange.headers
        self._body = exchange.body()
        self.replica = replica
        self.concurrency = concurrency

    def chunks(self) -> AsyncIterator[bytes]:
        """The body as it arrives."""
        return self._body

    async def read(self) -> bytes:
        """The whole body. Raises `UpstreamFailed`."""
        return await read_whole(self.chunks(), self.replica)

    async def close(self) -> None:
        """Give the connection back, or cut it if the body is unfinished. Idempotent."""
        exchange, self._exchange = self._exchange, None
        if exchange is not None:  # by now the connection may be carrying somebody else's exchange
            exchange.close()
            self._release()


class EngineUpstream:
    """See `Upstream`. `clock` gives monotonic seconds; `chosen` hears every replica choice."""

    def __init__(
        self,
        spec: ModelSpec,
        *,
        source: ReplicaSource,
        picker: ReplicaPicker,
        http: ReplicaHttp,
        token: str,
        clock: Callable[[], float],
        chosen: Callable[[str, str], None] = lambda model, replica: None,
    ) -> None:
        self._spec = spec
        self._source = source
        self._picker = picker
        self._http = http
        self._headers = {"authorization": f"Bearer {token}"}
        self._clock = clock
        self._chosen = chosen
        self._outstanding: defaultdict[str, int] = defaultdict(int)
        self._failed_at: dict[str, float] = {}

    def live(self) -> list[Replica]:
        """The replicas Serve knows of, whether or not they answer."""
        return list(self._source.replicas())

    async def send(self, request: UpstreamRequest) -> ReplicaResponse:
        """Send to the picked replica; on a refused connection to the next one. Raises `UpstreamFailed`."""
        untried = self.live()
        refused: UpstreamRefused | None = None
        while untried:
            replica = self._picker.pick(self._preferred(untried), self._outstanding)
            try:
                return await self.send_to(replica, request)
            except UpstreamRefused as error:
                refused = error
                untried.remove(replica)
        raise refused or UpstreamRefused(f"model {self._spec.name} has no live replica")

    async def send_to(self, replica: Replica, request: UpstreamRequest) -> ReplicaResponse:
        """Send to this very replica: what readiness probes use. Raises `UpstreamFailed`."""
        self._chosen(self._spec.name, replica.id)
        self._outstanding[replica.id] += 1
        concurrency = self._outstanding[replica.id]
        try:
            exchange = await self._http.post(
                replica.url, request, headers=self._headers, replica=replica.id, timeouts=self._spec.timeouts
            )
        except BaseException as error:  # cancellation too: the count must not leak
            if isinstance(error, UpstreamFailed):
                self._failed_at[replica.id] = self._clock()
            self._release(replica.id)
            raise
        return ReplicaResponse(exchange, replica.id, concurrency, lambda: self._release(replica.id))

    def _preferred(self, replicas: list[Replica]) -> list[Replica]:
        if not self._failed_at:
            return replicas
        since = self._clock() - PASSED_OVER_S
        self._failed_at = {replica: at for replica, at in self._failed_at.items() if at > since}
        return [replica for replica in replicas if replica.id not in self._failed_at] or replicas

    def _release(self, replica: str) -> None:
        self._outstanding[replica] -= 1
        if not self._outstanding[replica]:
            del self._outstanding[replica]

    async def aclose(self) -> None:
        """Nothing of its own: the session belongs to the composition root."""
