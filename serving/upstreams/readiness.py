"""Ready means proven: every tier of the ladder has a replica in service that has produced a real token for us.

Asks for a token whoever the roster has doubts about: new, suspected or ejected replicas, and those that have been
quiet for long, since an engine can hang while its health check says yes. Knows nothing of requests or routing. A
hosted API is probed until it has answered once, then believed: its tokens cost money, its outages are its breaker's.
"""

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec
import structlog

from models.spec import ModelSpec
from routing.picker import Replica
from serving.errors import MillraceError
from serving.upstreams.roster import Roster
from serving.upstreams.upstream import UpstreamRequest, UpstreamResponse

PASSED, FAILED, HUNG, BUSY = "passed", "failed", "hung", "busy"
"""What came of a probe. Busy: it was not served in time, but the engine was at work on others."""


class Probed(Protocol):
    """An upstream whose replicas can be asked one by one."""

    roster: Roster

    def live(self) -> Sequence[Replica]:
        """Replicas known right now, in service or not."""
        ...

    async def send_to(self, replica: Replica, request: UpstreamRequest) -> UpstreamResponse:
        """Send to this replica. Raises `UpstreamFailed`."""
        ...

    async def progressed(self, replica: Replica, then: float) -> bool:
        """Has `replica` done anything for anybody since `then`, monotonic seconds?"""
        ...

    def give_up(self, replica: str) -> None:
        """`replica` hangs: fail whatever still waits for its first byte."""
        ...


@dataclass(frozen=True, slots=True)
class Missing:
    """A model that nothing can be asked of yet."""

    tier: str
    model: str
    reason: str


class Readiness:
    """Probes, and says which tiers are proven. `clock` gives monotonic seconds, that of the upstreams.

    `probe_timeout_s` is for replicas that have been in service; a new one has the time of its model's first token.
    `probed` hears of every probe: the model and `PASSED`, `FAILED`, `HUNG` or `BUSY`.
    """

    def __init__(
        self,
        specs: Sequence[ModelSpec],
        upstreams: Mapping[str, Probed],
        ladder: Sequence[str],
        *,
        clock: Callable[[], float] = time.monotonic,
        probe_timeout_s: float = 10.0,
        probed: Callable[[str, str], None] = lambda model, outcome: None,
    ) -> None:
        self._specs = specs
        self._upstreams = upstreams
        self._ladder = ladder
        self._clock = clock
        self._probe_timeout_s = probe_timeout_s
        self._probed = probed
        self._under_way: set[tuple[str, str]] = set()
        self._reasons: dict[str, str] = {}

    def is_live(self, model: str) -> bool:
        """Does `model` have a replica in service? Cheap: asked for every request."""
        upstream = self._upstreams[model]
        return bool(upstream.roster.in_service(upstream.live()))

    def missing(self) -> list[Missing]:
        """The tiers of the ladder without a proven replica, and every model outside it without one."""
        proven = {spec.tier for spec in self._specs if self._is_proven(spec)}
        return [
            Missing(spec.tier, spec.name, self._reasons.get(spec.name, "not probed yet"))
            for spec in self._specs
            if spec.tier not in proven
        ]

    def _is_proven(self, spec: ModelSpec) -> bool:
        upstream = self._upstreams[spec.name]
        return any(upstream.roster.is_proven(replica.id) for replica in upstream.live())

    async def probe_all(self) -> None:
        """One round: ask every replica there is doubt about for one token, all at once, and wait for the answers."""
        await asyncio.gather(*(self._probe(spec, replica) for spec, replica in self._due()))

    async def run(self, interval_s: float, sleep: Callable[[float], Any] = asyncio.sleep) -> None:
        """Probe for ever, looking every `interval_s` seconds for whom to ask; a slow one holds nobody else up."""
        self._under_way.clear()  # of a run before this one that broke off
        async with asyncio.TaskGroup() as group:
            while True:
                for spec, replica in self._due():
                    group.create_task(self._probe(spec, replica))
                await sleep(interval_s)

    def _due(self) -> Iterator[tuple[ModelSpec, Replica]]:
        """Whom to ask now, and whom nobody is asking already."""
        now = self._clock()
        for spec in self._specs:
            upstream = self._upstreams[spec.name]
            live = upstream.live()
            upstream.roster.keep(live)
            if not live:
                self._reasons[spec.name] = "no live replica"
            for replica in live:
                key = (spec.name, replica.id)
                if key not in self._under_way and upstream.roster.needs_probe(replica.id, now):
                    self._under_way.add(key)
                    yield spec, replica

    async def _probe(self, spec: ModelSpec, replica: Replica) -> None:
        try:
            outcome = await self._ask(spec, replica)
        finally:
            self._under_way.discard((spec.name, replica.id))
        upstream = self._upstreams[spec.name]
        self._probed(spec.name, outcome)
        if outcome == PASSED:
            upstream.roster.passed_probe(replica.id, self._clock())
        elif outcome != BUSY:
            upstream.roster.failed_probe(replica.id, self._clock())
        if outcome == HUNG:
            upstream.give_up(replica.id)

    async def _ask(self, spec: ModelSpec, replica: Replica) -> str:
        upstream, began_s = self._upstreams[spec.name], self._clock()
        known = upstream.roster.is_proven(replica.id)
        try:
            async with asyncio.timeout(self._probe_timeout_s if known else spec.timeouts.first_token_s):
                response = await upstream.send_to(replica, probe_request(spec))
                try:
                    content = await response.read()
                finally:
                    await response.close()
        except (MillraceError, TimeoutError) as error:
            self._reasons[spec.name] = (
                "its probe failed"  # `/ready` is open to everybody: no addresses, no upstream texts
            )
            if upstream.roster.in_service((replica,)):  # once, and not again every second until it is back
                structlog.get_logger().warning("probe_failed", model=spec.name, replica=replica.id, reason=repr(error))
            if not isinstance(error, TimeoutError):
                return FAILED
            return BUSY if await upstream.progressed(replica, began_s) else HUNG
        if response.status == 200 and has_token(content):
            return PASSED
        self._reasons[spec.name] = f"probe answered {response.status} without a token"
        return FAILED


def probe_request(spec: ModelSpec) -> UpstreamRequest:
    """The smallest request that makes `spec` produce a real token or vector."""
    model = spec.hosted.model if spec.hosted else spec.name
    body: dict[str, object]
    if spec.task == "embed":
        path, body = "/v1/embeddings", {"model": model, "input": "1"}
    else:
        path = "/v1/chat/completions"
        body = {"model": model, "max_tokens": 1, "messages": [{"role": "user", "content": "1"}]}
    return UpstreamRequest(path=path, body=msgspec.json.encode(body), request_id="readiness-probe")


def has_token(content: bytes) -> bool:
    """Did the probe's answer hold a completion token or an embedding?"""
    try:
        data = msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    if not isinstance(data, dict):
        return False
    usage = data.get("usage")
    tokens = usage.get("completion_tokens") if isinstance(usage, dict) else None
    return (isinstance(tokens, int) and tokens > 0) or bool(data.get("data"))
