"""A self-hosted model as an `Upstream`: picks one of its replicas in service and speaks HTTP straight to it.

Counts its own requests in flight per replica and tells its roster what came of each; knows nothing of other models or
tenants. When a replica refuses the connection the next one is tried: nothing was sent to it.
"""

from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Collection, Mapping

import msgspec

from models.spec import ModelSpec, Timeouts
from routing.picker import Replica, ReplicaPicker
from serving.errors import UpstreamDisconnected, UpstreamFailed, UpstreamRefused
from serving.upstreams.hosted_http import read_whole
from serving.upstreams.replica_http import Exchange, ReplicaHttp
from serving.upstreams.replicas import ReplicaSource
from serving.upstreams.roster import Roster
from serving.upstreams.upstream import UpstreamRequest

STATE_PATH = "/engine/state"
STATE_TIMEOUTS = Timeouts(connect_s=1.0, total_s=2.0)


class ReplicaResponse:
    """An answer of a replica whose head has arrived. See `serving.upstreams.upstream.UpstreamResponse`."""

    __slots__ = ("_body", "_exchange", "_judge", "_judged", "_release", "concurrency", "headers", "replica", "status")

    def __init__(
        self,
        exchange: Exchange,
        replica: str,
        concurrency: int,
        *,
        release: Callable[[], None],
        judge: Callable[[UpstreamFailed | None], None],
    ) -> None:
        self._exchange: Exchange | None = exchange
        self._release = release
        self._judge = judge
        self._judged: UpstreamFailed | None = None
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

    def arrived(self) -> bool:
        """See `UpstreamResponse.arrived`."""
        return self._exchange is None or self._exchange.complete

    def judged(self, failure: UpstreamFailed | None) -> None:
        """See `UpstreamResponse.judged`."""
        self._judged = failure
        self._judge(failure)

    async def close(self) -> None:
        """Give the connection back, or cut it if the body is unfinished. Idempotent.

        What broke the body after it had been judged good counts against the replica too.
        """
        exchange, self._exchange = self._exchange, None
        if exchange is not None:  # by now the connection may be carrying somebody else's exchange
            if exchange.failure is not None and self._judged is None:
                self._judge(exchange.failure)
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
        roster: Roster | None = None,
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
        self.roster = roster or Roster()

    def live(self) -> list[Replica]:
        """The replicas Serve knows of, whether or not they answer."""
        return list(self._source.replicas())

    def spare(self, avoid: Collection[str]) -> bool:
        """See `Upstream.spare`."""
        return bool(self.roster.in_service(self._source.replicas(), avoid))

    async def send(self, request: UpstreamRequest) -> ReplicaResponse:
        """Send to the picked replica; on a refused connection to the next one. Raises `UpstreamFailed`."""
        untried = self.roster.in_service(self._source.replicas(), request.avoid)
        refused: UpstreamRefused | None = None
        while untried:
            replica = self._picker.pick(untried, self._outstanding)
            try:
                return await self.send_to(replica, request)
            except UpstreamRefused as error:
                refused = error
                untried.remove(replica)
        raise refused or self._nobody()

    def _nobody(self) -> UpstreamRefused:
        none = UpstreamRefused(f"model {self._spec.name} has no replica in service")
        none.sent = none.tried = False
        return none

    async def send_to(self, replica: Replica, request: UpstreamRequest) -> ReplicaResponse:
        """Send to this very replica, in service or not: what probes use. Raises `UpstreamFailed`."""
        self._chosen(self._spec.name, replica.id)
        self._outstanding[replica.id] += 1
        concurrency = self._outstanding[replica.id]
        try:
            exchange = await self._http.post(
                replica.url, request, headers=self._headers, replica=replica.id, timeouts=self._spec.timeouts
            )
        except BaseException as error:  # cancellation too: the count must not leak
            self._release(replica.id)
            if isinstance(error, UpstreamFailed):
                error.replica = replica.id
                self._judge(replica.id, error)
            raise
        return ReplicaResponse(
            exchange,
            replica.id,
            concurrency,
            release=lambda: self._release(replica.id),
            judge=lambda failure: self._judge(replica.id, failure),
        )

    def _judge(self, replica: str, failure: UpstreamFailed | None) -> None:
        if failure is None:
            self.roster.answered(replica, self._clock())
        elif _is_the_replicas_fault(failure):
            replicas = self._source.replicas()
            self.roster.failed(replica, replicas, self._clock(), reached=failure.sent)
            if isinstance(failure, UpstreamDisconnected):
                failure.lost = self.roster.is_lost(replica, replicas)

    async def progressed(self, replica: Replica, then: float) -> bool:
        """Has anything come of `replica` since `then`, on the clock: an answer, a byte of one, a step of its engine?

        Under overload a probe waits like everybody else, and that alone must not take a replica out.
        """
        waited_s = self._clock() - then
        quiet_s = self._http.quiet_s(replica.id)
        if self.roster.answered_since(replica.id, then) or (quiet_s is not None and quiet_s < waited_s):
            return True
        age_s = await self._last_step_age_s(replica)
        return age_s is not None and age_s < waited_s

    async def _last_step_age_s(self, replica: Replica) -> float | None:
        """As the replica's `GET /engine/state` has it; None when it has none, or none that answers."""
        asking = UpstreamRequest(STATE_PATH, b"", "progress", method="GET")
        try:
            exchange = await self._http.post(
                replica.url, asking, headers=self._headers, replica=replica.id, timeouts=STATE_TIMEOUTS
            )
            try:
                state = msgspec.json.decode(await read_whole(exchange.body(), replica.id))
            finally:
                exchange.close()
        except (UpstreamFailed, msgspec.DecodeError):
            return None
        age_s = state.get("last_step_age_s") if isinstance(state, dict) else None
        return float(age_s) if isinstance(age_s, int | float) else None

    def give_up(self, replica: str) -> None:
        """`replica` hangs: end the wait of everyone who has had nothing of it yet."""
        self._http.give_up(replica)

    def _release(self, replica: str) -> None:
        self._outstanding[replica] -= 1
        if not self._outstanding[replica]:
            del self._outstanding[replica]

    async def aclose(self) -> None:
        """Nothing of its own: the session belongs to the composition root."""


def _is_the_replicas_fault(failure: UpstreamFailed) -> bool:
    """All but what is wrong with our account or our configuration, and being asked to slow down."""
    return failure.upstream_status >= 500 or not failure.upstream_status
