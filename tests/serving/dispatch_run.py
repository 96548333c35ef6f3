"""A dispatcher over scripted upstreams, the models `m0`, `m1` …, without a pipeline around it, and how it is asked."""

import json
from collections.abc import Callable, Collection
from dataclasses import replace
from typing import Any

from models.spec import Timeouts
from routing.breaker import Breaker, BreakerRules
from routing.cascade import Attempt, Evidence, Reason, cascade
from routing.retry import RetryBudget, RetryRules
from serving.dispatch import Answer, Dispatcher, Target
from serving.errors import UpstreamFailed, UpstreamRefused
from serving.record import Tried
from serving.retrying import Retrying
from serving.upstreams.upstream import Upstream, UpstreamRequest, UpstreamResponse
from serving.wire.request import Request, parse_request
from serving.wire.routes import RELAYED
from tests.doubles.upstream import FakeAnswer, FakeUpstream
from tests.serving.world import Ticks, engine_spec


def request(*, stream: bool = False, path: str = "/v1/chat/completions", **fields: Any) -> Request:
    """A request to `auto` that any route takes; `fields` join its body."""
    body = {"model": "auto", "messages": [{"role": "user", "content": "2+2?"}], "input": "x", "prompt": "x", **fields}
    raw = json.dumps(body | ({"stream": True} if stream else {})).encode()
    return parse_request(RELAYED[path], raw, request_id="req-1", headers={"traceparent": "00"})


class Chance:
    """No chance: the middle of everything. Sleeping takes no time and is noted."""

    def __init__(self, rules: RetryRules | None = None) -> None:
        self.slept: list[float] = []
        self.rules = rules or RetryRules()
        self.retrying = Retrying(self.rules, RetryBudget(self.rules), lambda: 0.5, self._sleep)

    async def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


def dispatcher(
    *upstreams: Upstream,
    timeouts: Timeouts | None = None,
    chance: Chance | None = None,
    rules: BreakerRules | None = None,
    clock: Callable[[], float] | None = None,
) -> Dispatcher:
    """Model `m<n>` on the n-th upstream."""
    specs = [replace(engine_spec(f"m{n}"), timeouts=timeouts or Timeouts()) for n in range(len(upstreams))]
    targets = {spec.name: Target(spec, upstream) for spec, upstream in zip(specs, upstreams, strict=True)}
    breakers = {name: Breaker(rules or BreakerRules(), lambda: 0.5) for name in targets}
    retrying = (chance or Chance()).retrying
    return Dispatcher(targets, clock or Ticks(), breakers=breakers, retrying=retrying)


def plan(count: int) -> list[Attempt]:
    """The first `count` models, each the fallback of the one before."""
    reasons = [Reason.SCORE] + [Reason.FALLBACK] * count
    return [Attempt(f"m{n}", f"m{n}", reasons[n]) for n in range(count)]


async def run(
    *upstreams: FakeUpstream, stream: bool = False, timeouts: Timeouts | None = None
) -> tuple[Answer, list[Tried]]:
    """One request to models that fall back on each other; raises as `Dispatcher.run`. The answer is open."""
    tried: list[Tried] = []
    running = dispatcher(*upstreams, timeouts=timeouts)
    answer = await running.run(
        cascade(plan(len(upstreams))), request(stream=stream), salt="s", decision="mrd-1", tried=tried
    )
    return answer, tried


def settled_all(*upstreams: FakeUpstream) -> bool:
    """Is nothing open anywhere?"""
    return all(upstream.in_flight == 0 for upstream in upstreams)


class RejectFirst:
    """A judge that is never content but with the second answer."""

    def accepts(self, attempt: Attempt, evidence: Evidence) -> bool:
        return attempt.model != "m0"


class Replicas:
    """An upstream with a replica per fake; it takes the first that is not to be avoided."""

    def __init__(self, *fakes: FakeUpstream) -> None:
        self.fakes = fakes

    async def send(self, request: UpstreamRequest) -> UpstreamResponse:
        return await next(fake for fake in self.fakes if fake.spare(request.avoid)).send(request)

    def spare(self, avoid: Collection[str]) -> bool:
        return any(fake.spare(avoid) for fake in self.fakes)

    async def aclose(self) -> None:
        """Nothing of its own."""


def status(code: int, retry_after: str | None = None) -> FakeAnswer:
    """An upstream's error."""
    headers = {"content-type": "application/json"} | ({} if retry_after is None else {"retry-after": retry_after})
    return FakeAnswer([b'{"error":{"message":"no"}}'], status=code, headers=headers)


def unsent(pause_s: float | None = None) -> UpstreamRefused:
    """The failure of a request that reached nobody: refused, or not tried because of a pause."""
    refused = UpstreamRefused("nobody listens")
    refused.sent, refused.tried, refused.pause_s = False, pause_s is None, pause_s
    return refused


async def ask(running: Dispatcher, count: int, *, stream: bool = False) -> tuple[Answer | UpstreamFailed, list[Tried]]:
    """One request to the first `count` models: its closed answer, or the failure it ended in."""
    tried: list[Tried] = []
    try:
        steps = cascade(plan(count))
        answer = await running.run(steps, request(stream=stream), salt="s", decision="mrd-1", tried=tried)
    except UpstreamFailed as failure:
        return failure, tried
    await answer.response.close()
    return answer, tried
