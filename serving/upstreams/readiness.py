"""Ready means proven: every tier of the ladder has a replica that has produced a real token for us.

Probes each new replica until it answers, and forgets replicas that are gone. Knows nothing of requests or routing. A
hosted API is probed until it has answered once, then believed: its outages are the business of failover.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec
import structlog

from models.spec import ModelSpec
from routing.picker import Replica
from serving.errors import MillraceError
from serving.upstreams.upstream import UpstreamRequest, UpstreamResponse


class Probed(Protocol):
    """An upstream whose replicas can be asked one by one."""

    def live(self) -> Sequence[Replica]:
        """Replicas known right now."""
        ...

    async def send_to(self, replica: Replica, request: UpstreamRequest) -> UpstreamResponse:
        """Send to this replica. Raises `UpstreamFailed`."""
        ...


@dataclass(frozen=True, slots=True)
class Missing:
    """A model that nothing can be asked of yet."""

    tier: str
    model: str
    reason: str


class Readiness:
    """Keeps the set of proven replicas. `rest` waits between rounds of probing."""

    def __init__(self, specs: Sequence[ModelSpec], upstreams: Mapping[str, Probed], ladder: Sequence[str]) -> None:
        self._specs = specs
        self._upstreams = upstreams
        self._ladder = ladder
        self._proven: set[tuple[str, str]] = set()
        self._reasons: dict[str, str] = {}

    def is_live(self, model: str) -> bool:
        """Does `model` have a replica at all? Cheap: asked for every request."""
        return bool(self._upstreams[model].live())

    def missing(self) -> list[Missing]:
        """The tiers of the ladder without a proven replica, and every model outside it without one."""
        proven = {spec.tier for spec in self._specs if self._is_proven(spec)}
        return [
            Missing(spec.tier, spec.name, self._reasons.get(spec.name, "not probed yet"))
            for spec in self._specs
            if spec.tier not in proven
        ]

    def _is_proven(self, spec: ModelSpec) -> bool:
        return any((spec.name, replica.id) in self._proven for replica in self._upstreams[spec.name].live())

    async def probe_all(self) -> None:
        """One round: ask every unproven live replica for one token, all at once."""
        await asyncio.gather(*(self._probe_model(spec) for spec in self._specs))

    async def _probe_model(self, spec: ModelSpec) -> None:
        live = self._upstreams[spec.name].live()
        ids = {(spec.name, replica.id) for replica in live}
        self._proven = {one for one in self._proven if one[0] != spec.name or one in ids}
        if not live:
            self._reasons[spec.name] = "no live replica"
        for replica in live:
            if (spec.name, replica.id) not in self._proven:
                await self._probe(spec, replica)

    async def _probe(self, spec: ModelSpec, replica: Replica) -> None:
        try:
            async with asyncio.timeout(spec.timeouts.first_token_s):
                response = await self._upstreams[spec.name].send_to(replica, probe_request(spec))
                try:
                    content = await response.read()
                finally:
                    await response.close()
        except (MillraceError, TimeoutError) as error:
            self._reasons[spec.name] = (
                "its probe failed"  # `/ready` is open to everybody: no addresses, no upstream texts
            )
            structlog.get_logger().warning("probe_failed", model=spec.name, replica=replica.id, reason=repr(error))
            return
        if response.status == 200 and has_token(content):
            self._proven.add((spec.name, replica.id))
        else:
            self._reasons[spec.name] = f"probe answered {response.status} without a token"

    async def run(self, interval_s: float, sleep: Callable[[float], Any] = asyncio.sleep) -> None:
        """Probe for ever, a round every `interval_s` seconds."""
        while True:
            await self.probe_all()
            await sleep(interval_s)


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
