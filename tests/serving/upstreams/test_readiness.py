"""Ready means proven: what a probe asks, what counts as a token, and that gone replicas are forgotten."""

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from models.spec import ModelSpec, Timeouts
from serving.errors import UpstreamRefused
from serving.upstreams.readiness import Missing, Readiness, has_token, probe_request
from tests.doubles.upstream import FakeAnswer, chat_answer, refusing
from tests.serving.asgi_call import until
from tests.serving.world import Probeable, engine_spec, hosted_spec


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
