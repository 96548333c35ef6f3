"""The six steps: whatever happens a request is settled once, recorded whole, and paid for."""

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
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
from serving.governance.admission import Place
from serving.record import Record
from serving.wire.reply import Reply
from serving.wire.request import Request, parse_request
from serving.wire.routes import RELAYED
from tests.doubles.upstream import FakeAnswer, chat_answer, chat_stream, refusing
from tests.serving.asgi_call import until
from tests.serving.world import TENANT, Ticks, World

SSE = {"content-type": "text/event-stream"}
DELTA = b'data: {"choices":[{"index":0,"delta":{"content":"4"}}]}\n\n'
USAGE = (
    b'data: {"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":2,'
    b'"prompt_tokens_details":{"cached_tokens":4}}}\n\n'
)
DONE = b"data: [DONE]\n\n"


def request(model: str = "auto", *, path: str = "/v1/chat/completions", **fields: Any) -> Request:
    body = {"model": model, "messages": [{"role": "user", "content": "2+2?"}], "input": "x", **fields}
    return parse_request(RELAYED[path], json.dumps(body).encode(), request_id="req-1", headers={})


class CountedPlace(Place):
    """A place that counts how often it is given back."""

    __slots__ = ("returned",)

    def settle(self, cost_usd: float) -> None:
        """Keep what it was settled at."""
        self.returned = [*getattr(self, "returned", []), cost_usd]
        super().settle(cost_usd)


@dataclass
class Run:
    """One request through the pipeline of a world, and what became of it."""

    world: World
    record: Record = field(default_factory=lambda: Record(request_id="req-1", decision="mrd-1", received_s=100.0))
    sent: list[Message] = field(default_factory=list)
    places: list[CountedPlace] = field(default_factory=list)
    on_send: Callable[[Message], None] = lambda message: None

    def __post_init__(self) -> None:
        self.reply = Reply(self._send, "req-1")
        admit = self.world.admission.admit

        def counted(tenant: str, *, now: float) -> Place:
            admit(tenant, now=now)
            self.places.append(CountedPlace(self.world.admission))
            return self.places[-1]

        self.world.admission.admit = counted  # type: ignore[method-assign]

    async def _send(self, message: Message) -> None:
        self.sent.append(message)
        self.on_send(message)
        await asyncio.sleep(0)

    async def answer(self, asked: Request) -> "Run":
        await self.world.pipeline().answer(asked, TENANT, self.reply, self.record)
        return self

    @property
    def content(self) -> bytes:
        return b"".join(message["body"] for message in self.sent[1:])

    @property
    def headers(self) -> Mapping[str, str]:
        return {name.decode(): value.decode() for name, value in self.sent[0]["headers"]}

    def assert_settled_once(self) -> None:
        assert [len(place.returned) for place in self.places] == [1]
        assert self.places[0].returned == [self.record.cost_usd]
        assert self.world.admission.in_flight == 0
        assert all(upstream.in_flight == 0 for upstream in self.world.upstreams.values())


def frames(*chunks: bytes, **more: Any) -> FakeAnswer:
    return FakeAnswer(chunks, headers=SSE, **more)


async def test_a_whole_answer_is_recorded_and_paid_for_by_the_second() -> None:
    world = World(clock=Ticks(step=1.0))
    world.upstreams["small"].next(chat_answer("four it is"))
    run = await Run(world).answer(request())
    record = run.record
    assert (record.model, record.tier, record.replica, record.stand_in) == ("small", "small", "small-0", False)
    assert record.policy == "ladder"
    assert record.scores == {"small": 0.9, "large": 0.9}
    assert (record.usage.input, record.usage.output) == (1, 3)
    assert [(one.attempt.reason, one.outcome, one.busy_s) for one in record.tried] == [(Reason.SCORE, "ok", 1.0)]
    assert record.cost_usd == pytest.approx(0.001)
    assert run.headers["x-millrace-cost-usd"] == "0.001000000"
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
    world.upstreams["cloud"].next(frames(DELTA, DELTA, USAGE, DONE))
    run = await Run(world).answer(request("cloud", stream=True))
    assert run.content == DELTA * 2 + b": x-millrace-cost-usd=7.000000000\n\n" + DONE
    assert "x-millrace-cost-usd" not in run.headers
    assert run.record.first_byte_s == run.record.chunk_times_s[0]
    assert len(run.record.chunk_times_s) == 4
    assert [one.outcome for one in run.record.tried] == ["ok"]
    assert run.record.error is None
    run.assert_settled_once()


async def test_usage_that_the_client_asked_for_is_left_in() -> None:
    world = World()
    world.upstreams["cloud"].next(frames(DELTA, USAGE, DONE))
    run = await Run(world).answer(request("cloud", stream=True, stream_options={"include_usage": True}))
    assert USAGE in run.content


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (frames(DELTA, cut=True), "upstream_disconnected"),
        (frames(DELTA), "upstream_disconnected"),
        (frames(DELTA, b"data: " + b"x" * (1 << 21)), "upstream_invalid_response"),
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


async def test_what_breaks_behind_the_terminal_frame_is_no_error() -> None:
    world = World()
    world.upstreams["small"].next(frames(DELTA, DONE, cut=True))
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
    assert run.record.cost_usd == pytest.approx(0.001)


async def test_a_clients_error_is_passed_on_and_recorded_as_such() -> None:
    world = World()
    world.upstreams["small"].next(FakeAnswer([b'{"error":{}}'], status=422))
    run = await Run(world).answer(request(stream=True))
    assert (run.reply.status, run.content) == (422, b'{"error":{}}')
    assert [one.outcome for one in run.record.tried] == ["422"]
    run.assert_settled_once()


@pytest.mark.parametrize(
    ("asked", "error", "says"),
    [
        (request("nobody"), ModelNotFound, "no model 'nobody'; GET /v1/models lists"),
        (request("cloud", routing={"hosted": "never"}), NotRoutable, "leave the premises"),
        (request(tools=[{}]), NotRoutable, "lacks a capability"),
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
