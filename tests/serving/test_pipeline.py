"""The six steps: whatever happens a request is settled once, recorded whole, and paid for."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.types import Message

from routing.cascade import Reason
from serving.errors import (
    MillraceError,
    ModelNotFound,
    NotRoutable,
    Overloaded,
    UpstreamRefused,
    UpstreamTimeout,
)
from serving.wire.frames import MAX_FRAME_BYTES
from serving.wire.request import Request
from tests.doubles.upstream import FakeAnswer, chat_answer, chat_stream, refusing
from tests.serving.asgi_call import until
from tests.serving.pipeline_run import DELTA, DONE, FINISH, USAGE, Run, frames, request
from tests.serving.world import Ticks, World


async def test_a_whole_answer_is_recorded_and_paid_for_by_the_second() -> None:
    world = World(clock=Ticks(step=1.0))
    world.upstreams["small"].next(chat_answer("four it is"))
    run = await Run(world).answer(request())
    record = run.record
    assert (record.model, record.tier, record.replica, record.stand_in) == ("small", "small", "small-0", False)
    assert record.policy == "ladder"
    assert record.scores == {"small": 0.9, "large": 0.9}
    assert (record.usage.input, record.usage.output) == (1, 3)
    assert [(one.attempt.reason, one.outcome) for one in record.tried] == [(Reason.SCORE, "ok")]
    assert record.tried[0].busy_s > 0
    assert record.cost_usd == pytest.approx(0.001 * record.tried[0].busy_s)
    assert run.headers["x-millrace-cost-usd"] == f"{record.cost_usd:.9f}"
    assert run.headers["x-millrace-decision"] == "mrd-1"
    assert run.headers["x-millrace-policy"] == "ladder"
    assert run.headers["x-millrace-attempts"] == "1"
    assert "x-millrace-stand-in" not in run.headers
    run.assert_settled_once()


async def test_a_stand_in_is_paid_for_by_the_token_and_says_what_it_is() -> None:
    world = World()
    usage = {"prompt_tokens": 5, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 4}}
    world.upstreams["cloud"].next(FakeAnswer([json.dumps({"choices": [], "usage": usage}).encode()]))
    run = await Run(world).answer(request("cloud"))
    assert run.record.cost_usd == pytest.approx((5 - 4) * 1.0 + 4 * 0.5 + 2 * 2.0)
    assert run.record.policy == "direct"
    assert run.record.scores == {}
    assert run.record.stand_in
    assert (run.headers["x-millrace-stand-in"], run.headers["x-millrace-tier"]) == ("true", "hosted")
    run.assert_settled_once()


async def test_a_stream_is_recorded_and_ends_with_its_cost() -> None:
    world = World(clock=Ticks(step=0.5))
    world.upstreams["cloud"].next(frames(DELTA, DELTA, FINISH, USAGE, DONE))
    run = await Run(world).answer(request("cloud", stream=True))
    assert run.content == DELTA * 2 + FINISH + b": x-millrace-cost-usd=7.000000000\n\n" + DONE
    assert "x-millrace-cost-usd" not in run.headers
    assert run.record.first_byte_s == run.record.chunk_times_s[0]
    assert len(run.record.chunk_times_s) == 5
    assert [one.outcome for one in run.record.tried] == ["ok"]
    assert run.record.error is None
    run.assert_settled_once()


async def test_usage_that_the_client_asked_for_is_left_in() -> None:
    world = World()
    world.upstreams["cloud"].next(frames(DELTA, FINISH, USAGE, DONE))
    run = await Run(world).answer(request("cloud", stream=True, stream_options={"include_usage": True}))
    assert USAGE in run.content


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (frames(DELTA, cut=True), "upstream_disconnected"),
        (frames(DELTA), "upstream_disconnected"),
        (frames(DELTA, b"data: " + b"x" * (MAX_FRAME_BYTES + 1)), "upstream_invalid_response"),
    ],
    ids=["cut", "ended early", "endless frame"],
)
async def test_a_stream_that_breaks_ends_with_an_error_frame(answer: FakeAnswer, code: str) -> None:
    world = World()
    world.upstreams["small"].next(answer)
    run = await Run(world).answer(request(stream=True))
    last = run.content.removeprefix(DELTA)
    assert json.loads(last.removeprefix(b"data: "))["error"]["code"] == code
    assert DONE not in run.content
    assert run.reply.ended
    assert run.record.error == code
    assert [one.outcome for one in run.record.tried] == [code]
    assert run.record.usage.output == 1
    run.assert_settled_once()


@pytest.mark.parametrize("after", [{"cut": True}, {"stall": True}], ids=["cut", "stall"])
async def test_what_breaks_behind_the_terminal_frame_is_no_error(after: dict[str, Any]) -> None:
    world = World()
    world.upstreams["small"].next(frames(DELTA, FINISH, DONE, **after))
    run = await Run(world).answer(request(stream=True))
    assert run.content.endswith(DONE)
    assert run.record.error is None
    assert [one.outcome for one in run.record.tried] == ["ok"]


async def test_a_fallback_is_counted_and_only_the_answer_is_paid_for() -> None:
    world = World(clock=Ticks(step=1.0))
    world.upstreams["small"].next(FakeAnswer(status=500))
    world.upstreams["large"].next(chat_answer("4"))
    run = await Run(world).answer(request())
    assert [(one.attempt.model, one.outcome) for one in run.record.tried] == [("small", "500"), ("large", "ok")]
    assert run.headers["x-millrace-attempts"] == "2"
    assert run.headers["x-millrace-model"] == "large"
    assert run.record.tried[-1].busy_s > 0
    assert run.record.cost_usd == pytest.approx(0.001 * run.record.tried[-1].busy_s)


async def test_a_clients_error_is_passed_on_and_recorded_as_such() -> None:
    world = World()
    world.upstreams["small"].next(FakeAnswer([b'{"error":{"message":"too hot"}}'], status=422))
    run = await Run(world).answer(request(stream=True))
    assert run.reply.status == 422
    assert json.loads(run.content)["error"] == {
        "message": "too hot",
        "type": "invalid_request_error",
        "param": None,
        "code": "invalid_request",
    }
    assert run.headers["x-should-retry"] == "false"
    assert [one.outcome for one in run.record.tried] == ["422"]
    run.assert_settled_once()


@pytest.mark.parametrize(
    ("asked", "error", "says"),
    [
        (request("nobody"), ModelNotFound, "no model 'nobody'; GET /v1/models lists"),
        (request("cloud", routing={"hosted": "never"}), NotRoutable, "leave the premises"),
        (request(tools=[{"type": "function", "function": {"name": "f"}}]), NotRoutable, "lacks a capability"),
    ],
    ids=["unknown", "forbidden", "needs"],
)
async def test_a_request_nobody_may_answer(asked: Request, error: type[MillraceError], says: str) -> None:
    run = Run(World())
    with pytest.raises(error, match=says):
        await run.answer(asked)
    assert run.sent == []
    run.assert_settled_once()


async def test_when_every_model_fails_the_attempts_are_named() -> None:
    world = World()
    for upstream in world.upstreams.values():
        upstream.next(refusing(UpstreamRefused("down")))
    run = Run(world)
    with pytest.raises(UpstreamRefused):
        await run.answer(request())
    assert run.reply.headers["x-millrace-attempts"] == "3"
    assert run.record.model == "-"
    run.assert_settled_once()


async def test_a_full_house_refuses_before_anything_is_done() -> None:
    run = Run(World(limit=0))
    with pytest.raises(Overloaded):
        await run.answer(request())
    assert run.places == []


class Broken:
    """A difficulty that cannot score."""

    def score(self, text: str) -> Mapping[str, float]:
        raise ZeroDivisionError


async def test_a_score_that_fails_costs_no_answer_and_is_counted() -> None:
    world = World()
    world.difficulty = Broken()
    world.upstreams["large"].next(chat_answer("4"))
    run = await Run(world).answer(request())
    assert run.record.model == "large"  # nothing is scored: the best model on the premises
    assert run.record.scores == {}
    assert b"millrace_score_failures_total 1.0" in world.telemetry.exposition()


async def test_nothing_is_scored_when_the_client_named_the_model() -> None:
    world = World()
    world.difficulty = Broken()
    world.upstreams["large"].next(chat_answer("4"))
    await Run(world).answer(request("large"))
    assert b"millrace_score_failures_total 0.0" in world.telemetry.exposition()


async def test_a_deadline_before_the_answer_is_a_timeout() -> None:
    world = World(deadline_s=0.02)
    world.upstreams["small"].next(FakeAnswer(hang=True))
    run = Run(world)
    with pytest.raises(UpstreamTimeout, match=r"no complete answer within 0\.02 s"):
        await run.answer(request())
    assert run.record.error == "upstream_timeout"
    assert [one.outcome for one in run.record.tried] == ["cancelled"]
    run.assert_settled_once()


async def test_a_deadline_within_a_stream_is_an_error_frame() -> None:
    world = World(deadline_s=0.05)
    world.upstreams["small"].next(frames(DELTA, stall=True))
    run = await Run(world).answer(request(stream=True))
    assert json.loads(run.content.removeprefix(DELTA).removeprefix(b"data: "))["error"]["code"] == "upstream_timeout"
    assert run.reply.ended
    assert run.record.error == "upstream_timeout"
    run.assert_settled_once()


@pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
async def test_a_cancelled_request_is_settled_and_its_upstream_cut(stream: bool) -> None:
    world = World()
    world.upstreams["small"].next(frames(DELTA, stall=True) if stream else FakeAnswer(hang=True))
    run = Run(world)
    task = asyncio.ensure_future(run.answer(request(stream=stream)))
    await until(lambda: len(run.sent) > 1 if stream else world.upstreams["small"].in_flight)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [one.outcome for one in run.record.tried] == ["cancelled"]
    assert world.upstreams["small"].cancelled == 1
    run.assert_settled_once()


async def test_a_client_that_cannot_be_written_to_is_settled_as_well() -> None:
    def broken(message: Message) -> None:
        if message["type"] == "http.response.body":
            raise OSError("gone")

    world = World()
    world.upstreams["small"].next(frames(DELTA, DELTA, DONE))
    run = Run(world, on_send=broken)
    with pytest.raises(OSError, match="gone"):
        await run.answer(request(stream=True))
    run.assert_settled_once()


unary = st.sampled_from(
    [
        chat_answer("4"),
        FakeAnswer([b"<html>"]),
        FakeAnswer([b"{"], cut=True),
        FakeAnswer([b"{}"], status=400),
        FakeAnswer([b"{}"], status=429),
        FakeAnswer([b"{}"], status=500),
        refusing(UpstreamRefused("no")),
        refusing(UpstreamTimeout("no")),
        FakeAnswer(hang=True),
        FakeAnswer([b"{"], stall=True),
    ]
)
streamed = st.sampled_from(
    [
        chat_stream("one two"),
        frames(DELTA, DELTA),
        frames(DELTA, cut=True),
        frames(),
        frames(b"data: <html>\n\n"),
        frames(DELTA, stall=True),
        FakeAnswer([b"{}"], status=400),
        FakeAnswer([b"{}"], status=503),
        refusing(UpstreamRefused("no")),
        FakeAnswer(hang=True),
    ]
)


@settings(max_examples=60)
@given(
    st.booleans().flatmap(lambda stream: st.tuples(st.just(stream), st.tuples(*[streamed if stream else unary] * 3))),
    st.integers(0, 40) | st.none(),
)
def test_any_mix_of_failures_settles_once(outcomes: tuple[bool, tuple[FakeAnswer, ...]], patience: int | None) -> None:
    """`patience`: turns of the loop after which the client goes away; None: it waits for the deadline."""
    stream, answers = outcomes

    async def scenario() -> None:
        world = World(deadline_s=0.01)
        for upstream, answer in zip(world.upstreams.values(), answers, strict=True):
            upstream.next(answer)
        run = Run(world)
        task = asyncio.ensure_future(run.answer(request(stream=stream)))
        for _ in range(patience or 0):
            await asyncio.sleep(0)
        if patience is not None:
            task.cancel()
        (outcome,) = await asyncio.gather(task, return_exceptions=True)
        assert isinstance(outcome, Run | MillraceError | asyncio.CancelledError)
        if run.places:
            run.assert_settled_once()
        assert run.reply.started or not isinstance(outcome, Run)
        assert not isinstance(outcome, MillraceError) or not run.reply.started
        if isinstance(outcome, Run):
            assert run.reply.ended
            assert len(run.record.tried) in (1, 2, 3)

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("path", "content", "output"),
    [
        ("/v1/chat/completions", b'{"choices":[]}', 3),
        ("/v1/embeddings", b'{"data":[]}', 0),
        ("/tokenize", b'{"count":1}', None),
    ],
)
async def test_what_no_upstream_counted_is_guessed_and_marked(path: str, content: bytes, output: int | None) -> None:
    world = World()
    for upstream in world.upstreams.values():
        upstream.next(FakeAnswer([content]))
    run = Run(world)
    await run.answer(request(path=path))
    assert run.record.usage.estimated is (output is not None)
    assert run.record.usage.output == (output or 0)
    assert (run.record.usage.input > 0) is (output is not None)


async def test_the_tokens_of_a_stream_that_was_cut_are_guessed_and_marked() -> None:
    world = World()
    for upstream in world.upstreams.values():
        upstream.next(frames(DELTA, DELTA, cut=True))
    run = Run(world)
    await run.answer(request(stream=True))
    assert (run.record.usage.estimated, run.record.usage.output) == (True, 2)
    assert run.record.usage.input > 0
