"""Ready means proven: what a probe asks, what counts as a token, and that gone replicas are forgotten."""

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from models.spec import ModelSpec, Timeouts
from routing.picker import Replica
from serving.errors import UpstreamRefused
from serving.upstreams.readiness import Missing, Readiness, has_token, probe_request
from serving.upstreams.roster import Roster
from tests.doubles.upstream import FakeAnswer, chat_answer, refusing
from tests.serving.asgi_call import until
from tests.serving.world import Probeable, Ticks, engine_spec, hosted_spec


def embedder() -> ModelSpec:
    return replace(engine_spec("embed"), task="embed")


def readiness(**upstreams: Probeable) -> Readiness:
    return Readiness([engine_spec(name) for name in upstreams], upstreams, tuple(upstreams))


async def test_nothing_is_ready_before_it_was_asked() -> None:
    ready = readiness(small=Probeable(), large=Probeable())
    assert [one.model for one in ready.missing()] == ["small", "large"]
    assert ready.missing()[0] == Missing("small", "small", "not probed yet")
    await ready.probe_all()
    assert ready.missing() == []


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (refusing(UpstreamRefused("nobody there")), "its probe failed"),
        (FakeAnswer([b"{}"], status=500), "probe answered 500 without a token"),
        (FakeAnswer([b"{}"]), "probe answered 200 without a token"),
        (FakeAnswer([b"<html>"]), "probe answered 200 without a token"),
        (FakeAnswer([b"{"], cut=True), "its probe failed"),
    ],
    ids=["refused", "status", "no token", "garbage", "cut"],
)
async def test_what_is_missing_is_named_with_its_reason(answer: FakeAnswer, reason: str) -> None:
    upstream = Probeable(answer)
    ready = readiness(small=upstream)
    await ready.probe_all()
    (missing,) = ready.missing()
    assert (missing.tier, missing.model) == ("small", "small")
    assert missing.reason.startswith(reason)
    assert upstream.in_flight == 0
    upstream.next(chat_answer("1"))
    await ready.probe_all()
    assert ready.missing() == []


async def test_a_probe_that_hangs_is_given_up() -> None:
    upstream = Probeable(FakeAnswer(hang=True))
    spec = replace(engine_spec("small"), timeouts=Timeouts(first_token_s=0.01))
    ready = Readiness([spec], {"small": upstream}, ("small",))
    await ready.probe_all()
    assert ready.missing()[0].reason == "its probe failed"
    assert (upstream.in_flight, upstream.cancelled) == (0, 1)


async def test_a_proven_replica_is_not_asked_again_until_it_was_gone() -> None:
    upstream = Probeable(chat_answer("1"))
    ready = readiness(small=upstream)
    await ready.probe_all()
    await ready.probe_all()
    assert len(upstream.requests) == 1
    upstream.gone = True
    assert not ready.is_live("small")
    assert [one.model for one in ready.missing()] == ["small"]
    await ready.probe_all()
    assert ready.missing()[0].reason == "no live replica"
    upstream.gone = False
    assert ready.is_live("small")
    assert ready.missing() != []
    await ready.probe_all()
    assert ready.missing() == []
    assert len(upstream.requests) == 2


async def test_one_model_of_a_tier_is_enough() -> None:
    upstreams = {"a": Probeable(chat_answer("1")), "b": Probeable(refusing(UpstreamRefused("down")))}
    ready = Readiness([engine_spec("a", tier="t"), engine_spec("b", tier="t")], upstreams, ("t",))
    await ready.probe_all()
    assert ready.missing() == []


async def test_probing_goes_on_for_ever_at_its_interval() -> None:
    upstream = Probeable(refusing(UpstreamRefused("down")))
    rounds: list[float] = []

    async def sleep(seconds: float) -> None:
        rounds.append(seconds)
        await asyncio.sleep(0)

    task = asyncio.ensure_future(readiness(small=upstream).run(0.5, sleep))
    await until(lambda: len(rounds) >= 3)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert set(rounds) == {0.5}
    assert len(upstream.requests) >= 3


def test_a_probe_is_the_smallest_request_that_proves_something() -> None:
    chat, embed, hosted = (probe_request(spec) for spec in (engine_spec("small"), embedder(), hosted_spec()))
    assert chat.path == "/v1/chat/completions"
    assert json.loads(chat.body)["max_tokens"] == 1
    assert json.loads(chat.body)["model"] == "small"
    assert embed.path == "/v1/embeddings"
    assert json.loads(embed.body) == {"model": "embed", "input": "1"}
    assert json.loads(hosted.body)["model"] == "cloud-1"


@pytest.mark.parametrize(
    ("answer", "proven"),
    [
        ({"usage": {"completion_tokens": 1}}, True),
        ({"usage": {"completion_tokens": 0}}, False),
        ({"usage": {"completion_tokens": "1"}}, False),
        ({"usage": None}, False),
        ({"data": [{"embedding": [0.5]}]}, True),
        ({"data": []}, False),
        ([1], False),
    ],
)
def test_what_counts_as_a_token(answer: Any, proven: bool) -> None:
    assert has_token(json.dumps(answer).encode()) is proven


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["usage", "completion_tokens", "data"]), inner),
    max_leaves=6,
)


@example(b"[" * 5000)
@given(st.binary(max_size=20) | values.map(lambda value: json.dumps(value).encode()))
def test_no_answer_breaks_the_probe(content: bytes) -> None:
    assert has_token(content) in (True, False)


class Watched(Probeable):
    """A fake whose probes' consequences can be seen. `progress`: has it served others?"""

    def __init__(self, *answers: FakeAnswer, progress: bool = False, canary_interval_s: float | None = None) -> None:
        super().__init__(*answers)
        self.roster = Roster(canary_interval_s=canary_interval_s)
        self.progress = progress
        self.given_up: list[str] = []

    async def progressed(self, replica: Replica, then: float) -> bool:
        return self.progress

    def give_up(self, replica: str) -> None:
        self.given_up.append(replica)

    @property
    def is_in_service(self) -> bool:
        return bool(self.roster.in_service(self.live()))


class Probes:
    """Readiness over one watched upstream, with a clock that the test moves."""

    def __init__(self, upstream: Watched, *, first_token_s: float = 30.0, probe_timeout_s: float = 30.0) -> None:
        self.clock = Ticks()
        self.outcomes: list[str] = []
        spec = replace(engine_spec("small"), timeouts=Timeouts(first_token_s=first_token_s))
        self.ready = Readiness(
            [spec],
            {"small": upstream},
            ("small",),
            clock=self.clock,
            probe_timeout_s=probe_timeout_s,
            probed=lambda model, outcome: self.outcomes.append(outcome),
        )


async def test_a_quiet_replica_is_asked_again_and_one_that_hangs_is_taken_out() -> None:
    upstream = Watched(chat_answer("1"), FakeAnswer(hang=True), canary_interval_s=5.0)
    probes = Probes(upstream, probe_timeout_s=0.01)
    await probes.ready.probe_all()
    await probes.ready.probe_all()
    assert (probes.outcomes, probes.ready.missing()) == (["passed"], [])
    probes.clock.now += 5.0
    await probes.ready.probe_all()
    assert probes.outcomes == ["passed", "hung"]
    assert upstream.given_up == ["fake-0"]
    assert not probes.ready.is_live("small")
    assert [one.reason for one in probes.ready.missing()] == ["its probe failed"]
    upstream.next(chat_answer("1"))
    await probes.ready.probe_all()
    assert probes.ready.is_live("small")
    assert probes.ready.missing() == []


async def test_a_busy_replica_is_neither_taken_out_nor_brought_back() -> None:
    upstream = Watched(FakeAnswer(hang=True), progress=True, canary_interval_s=0.0)
    probes = Probes(upstream, probe_timeout_s=0.01, first_token_s=0.01)
    upstream.roster.passed_probe("fake-0", 0.0)
    await probes.ready.probe_all()
    assert (probes.outcomes, upstream.given_up, upstream.is_in_service) == (["busy"], [], True)
    assert probes.ready.missing() == []
    upstream.roster.failed_probe("fake-0", 0.0)
    await probes.ready.probe_all()
    assert (probes.outcomes, upstream.is_in_service) == (["busy", "busy"], False)


@pytest.mark.parametrize(
    "answer",
    [refusing(UpstreamRefused("nobody there")), FakeAnswer([b"{}"], status=503), FakeAnswer([b"{}"])],
    ids=["refused", "503", "no token"],
)
async def test_a_replica_that_fails_its_probe_is_taken_out_but_nobody_is_given_up(answer: FakeAnswer) -> None:
    upstream = Watched(answer)
    probes = Probes(upstream)
    await probes.ready.probe_all()
    assert (probes.outcomes, upstream.is_in_service, upstream.given_up) == (["failed"], False, [])


async def test_a_new_replica_has_the_time_of_a_first_token() -> None:
    upstream = Watched(FakeAnswer(hang=True))
    probes = Probes(upstream, first_token_s=0.01, probe_timeout_s=3600.0)
    await probes.ready.probe_all()
    assert probes.outcomes == ["hung"]


async def test_a_suspect_is_asked_at_once() -> None:
    upstream = Watched(chat_answer("1"))
    probes = Probes(upstream)
    await probes.ready.probe_all()
    upstream.roster.failed("fake-0", upstream.live(), 0.0, reached=True)
    await probes.ready.probe_all()
    await probes.ready.probe_all()
    assert len(upstream.requests) == 2


async def test_a_slow_probe_holds_nobody_up_and_is_not_repeated() -> None:
    slow, quick = Watched(FakeAnswer(hang=True)), Watched(chat_answer("1"), canary_interval_s=0.0)
    ready = Readiness([engine_spec("slow"), engine_spec("quick")], {"slow": slow, "quick": quick}, ("slow", "quick"))
    task = asyncio.ensure_future(ready.run(0.0))
    await until(lambda: len(quick.requests) >= 3)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert len(slow.requests) == 1
    assert (slow.in_flight, slow.cancelled) == (0, 1)
