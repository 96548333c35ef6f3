"""A gateway without a network: three models on scripted upstreams, every part real from the ASGI call to settling.

`small` and `large` are ours and paid by the second, `cloud` is a hosted stand-in paid by the token.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from models.spec import Catalog, EngineSpec, HostedSpec, ModelSpec, Price, Timeouts
from routing.difficulty import Difficulty, FixedDifficulty
from routing.picker import Replica
from routing.policy import AUTO, Candidate, LadderPolicy
from routing.retry import RetryBudget, RetryRules
from serving.dispatch import Dispatcher, Target
from serving.gateway import Gateway
from serving.governance.admission import InFlightLimit, Intake
from serving.governance.rates import Rates, Unlimited
from serving.house import House
from serving.keys import Tenant
from serving.media.inline import Media
from serving.media.limits import MediaLimits
from serving.media.location import HostList
from serving.pipeline import Pipeline, Steps
from serving.responses.background import Background
from serving.responses.desk import ResponseDesk
from serving.retrying import Retrying
from serving.telemetry import GatewayTelemetry
from serving.upstreams.readiness import Readiness
from serving.wire.limits import InputLimits
from serving.wire.openapi import openapi_json
from tests.doubles.response_store import FakeResponseStore
from tests.doubles.upstream import FakeUpstream

KEY = "mr-good"
METRICS_TOKEN = "metrics-token"
TENANT = Tenant(id="acme", key_id="key_1", name="default")
SERVES = frozenset({"chat", "completions", "responses", "messages", "embeddings", "tokenize"})
LADDER = ("small", "large", "hosted")
MEDIA_LIMITS = MediaLimits(bytes=100_000, pixels=1_000_000, urls=4, timeout_s=20.0, fetches=2)

Clock = Callable[[], float]


def engine_spec(name: str, *, tier: str | None = None) -> ModelSpec:
    """A model of ours: 0.001 USD a second, no token prices."""
    return ModelSpec(
        name=name,
        tier=tier or name,
        task="generate",
        context_length=1024,
        capabilities=SERVES,
        price=Price(usd_per_gpu_second=0.001),
        leaves_premises=False,
        timeouts=Timeouts(connect_s=5.0, first_token_s=30.0, idle_s=30.0, total_s=30.0),
        engine=EngineSpec(source="/models/none"),
    )


def hosted_spec(name: str = "cloud") -> ModelSpec:
    """A hosted stand-in: 1 USD an input token, 2 an output token, so that sums are easy to read."""
    return replace(
        engine_spec(name, tier="hosted"),
        price=Price(usd_per_input_token=1.0, usd_per_cached_token=0.5, usd_per_output_token=2.0),
        leaves_premises=True,
        engine=None,
        hosted=HostedSpec(base_url="http://127.0.0.1:1/v1", model="cloud-1", key_env="NO_KEY", stand_in=True),
    )


class Ticks:
    """A monotonic clock that moves by `step` seconds with every look at it."""

    def __init__(self, step: float = 0.0) -> None:
        self.now = 100.0
        self.step = step

    def __call__(self) -> float:
        self.now += self.step
        return self.now


class Probeable(FakeUpstream):
    """A fake upstream whose one replica can be gone."""

    gone = False

    def live(self) -> list[Replica]:
        """See `serving.upstreams.readiness.Probed`."""
        return [] if self.gone else super().live()


class World:
    """The parts of one gateway, for tests to look at and to change before `open`."""

    def __init__(
        self,
        *,
        scores: Mapping[str, float] | None = None,
        limit: int = 8,
        deadline_s: float = 30.0,
        keepalive_s: float = 10.0,
        write_timeout_s: float = 30.0,
        clock: Clock | None = None,
        max_body_bytes: int = 10_000,
        body_timeout_s: float = 30.0,
    ) -> None:
        self.specs = {spec.name: spec for spec in (engine_spec("small"), engine_spec("large"), hosted_spec())}
        self.upstreams = {name: Probeable(replica=f"{name}-0") for name in self.specs}
        self.lines: list[dict[str, Any]] = []
        self.admission = InFlightLimit(limit)
        self.intake = Intake(self.admission)
        self.telemetry = GatewayTelemetry(self.lines.append, lambda: self.admission.in_flight)
        self.difficulty: Difficulty = FixedDifficulty(scores if scores is not None else {"small": 0.9, "large": 0.9})
        self.readiness = Readiness(list(self.specs.values()), self.upstreams, LADDER)
        self.clock = clock or Ticks()
        rules = RetryRules()
        self.retrying = Retrying(rules, RetryBudget(rules), lambda: 0.0, asyncio.sleep)
        """Pauses of no length."""
        self.media = Media(MEDIA_LIMITS, HostList.of([]))
        self.store = FakeResponseStore()
        self.now = Ticks()
        self.tenant = TENANT
        self.opened = 0
        self.closed = 0
        self._deadline_s = deadline_s
        self._keepalive_s = keepalive_s
        self._write_timeout_s = write_timeout_s
        self.limits = InputLimits(max_body_bytes=max_body_bytes, body_timeout_s=body_timeout_s)
        self.rates: Rates = Unlimited(limit, lambda: self.admission.in_flight)

    def pipeline(self) -> Pipeline:
        """The six steps after receiving."""
        return Pipeline(
            Steps(
                models=self.specs,
                ladders=dict.fromkeys((*SERVES, "rerank", "score"), LADDER),
                policies={AUTO: LadderPolicy(0.7), "ladder": LadderPolicy(0.7)},
                admission=self.admission,
                difficulty=self.difficulty,
                fallback_difficulty=FixedDifficulty(),
                candidates=self._candidates,
                dispatcher=Dispatcher(
                    {name: Target(spec, self.upstreams[name]) for name, spec in self.specs.items()},
                    self.clock,
                    retrying=self.retrying,
                ),
                telemetry=self.telemetry,
                salt=lambda tenant: f"salt-of-{tenant}",
                clock=self.clock,
                deadline_s=self._deadline_s,
                keepalive_s=self._keepalive_s,
                write_timeout_s=self._write_timeout_s,
            )
        )

    def desk(self) -> ResponseDesk:
        """The state of the Responses API, over the same pipeline."""
        answer = self.pipeline().answer
        self.background = Background(
            self.store,
            answer,
            lambda record: self.telemetry.settled(record, now=self.clock()),
            limit=2,
            now=self.now,
            pauses_s=(0.0,),
        )
        return ResponseDesk(self.store, answer, self.background, waiting=self.intake, max_bytes=20_000, now=self.now)

    def gateway(self) -> Gateway:
        """The ASGI app; its lifespan must be run."""
        return Gateway(self._open)

    @asynccontextmanager
    async def _open(self) -> AsyncIterator[House]:
        self.opened += 1
        yield House(
            catalog=Catalog(path=Path("catalog.yaml"), ladder=LADDER, models=self.specs),
            policies=(AUTO,),
            authenticate=lambda raw: self.tenant if raw == KEY else None,
            pipeline=self.pipeline(),
            media=self.media,
            responses=self.desk(),
            readiness=self.readiness,
            telemetry=self.telemetry,
            metrics_token=METRICS_TOKEN,
            scrape_targets=lambda: [{"targets": ["127.0.0.1:1"], "labels": {"role": "gateway"}}],
            limits=self.limits,
            openapi=lambda: openapi_json(self.limits),
            rates=self.rates,
            intake=self.intake,
        )
        self.closed += 1

    def _candidates(self) -> tuple[Candidate, ...]:
        return tuple(
            Candidate(
                spec.name, spec.tier, spec.leaves_premises, spec.capabilities, bool(self.upstreams[spec.name].live())
            )
            for spec in self.specs.values()
        )
