"""Attempts: what counts as an answer, what moves on to the next model, and that nothing stays open."""

import asyncio
import json
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.spec import Timeouts
from routing.breaker import Breaker, BreakerRules
from routing.cascade import Attempt, Evidence, Reason, cascade
from routing.retry import RetryBudget, RetryRules
from serving.dispatch import BREAKER_OPEN, Answer, Dispatcher, Target, settled
from serving.errors import (
    BadRequest,
    RetryBudgetExhausted,
    UpstreamDisconnected,
    UpstreamFailed,
    UpstreamInvalid,
    UpstreamRefused,
    UpstreamTimeout,
)
from serving.record import Tried
from serving.retrying import Retrying
from serving.upstreams.upstream import Upstream, UpstreamRequest, UpstreamResponse
from serving.wire.frames import MAX_FRAME_BYTES
from serving.wire.request import Request, parse_request
from serving.wire.routes import RELAYED
from tests.doubles.upstream import FakeAnswer, FakeUpstream, chat_answer, chat_stream, refusing
from tests.serving.asgi_call import until
from tests.serving.world import Ticks, engine_spec, hosted_spec

SSE = {"content-type": "text/event-stream"}
DELTA = b'data: {"choices":[{"index":0,"delta":{"content":"4"}}]}\n\n'
ERROR = b'data: {"error":{"message":"no","type":"t","param":null,"code":"c"}}\n\n'


def request(*, stream: bool = False, path: str = "/v1/chat/completions", **fields: Any) -> Request:
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
    specs = [replace(engine_spec(f"m{n}"), timeouts=timeouts or Timeouts()) for n in range(len(upstreams))]
    targets = {spec.name: Target(spec, upstream) for spec, upstream in zip(specs, upstreams, strict=True)}
    breakers = {name: Breaker(rules or BreakerRules(), lambda: 0.5) for name in targets}
    retrying = (chance or Chance()).retrying
    return Dispatcher(targets, clock or Ticks(), breakers=breakers, retrying=retrying)


def plan(count: int) -> list[Attempt]:
    reasons = [Reason.SCORE] + [Reason.FALLBACK] * count
    return [Attempt(f"m{n}", f"m{n}", reasons[n]) for n in range(count)]


async def run(
    *upstreams: FakeUpstream, stream: bool = False, timeouts: Timeouts | None = None
) -> tuple[Answer, list[Tried]]:
    tried: list[Tried] = []
    running = dispatcher(*upstreams, timeouts=timeouts)
    answer = await running.run(
        cascade(plan(len(upstreams))), request(stream=stream), salt="s", decision="mrd-1", tried=tried
    )
    return answer, tried


def settled_all(*upstreams: FakeUpstream) -> bool:
    return all(upstream.in_flight == 0 for upstream in upstreams)


async def test_a_whole_answer() -> None:
    upstream = FakeUpstream(chat_answer("four"), replica="r1")
    answer, tried = await run(upstream)
    assert (answer.attempt.model, answer.response.replica, tried) == ("m0", "r1", [])
    assert answer.data["choices"][0]["message"]["content"] == "four"
    assert json.loads(answer.content) == answer.data
    assert (upstream.in_flight, upstream.finished) == (0, 1)


async def test_what_is_sent() -> None:
    ours, theirs = FakeUpstream(chat_answer("4")), FakeUpstream(chat_answer("4"))
    targets = {"m0": Target(engine_spec("m0"), ours), "cloud": Target(hosted_spec(), theirs)}
    running = Dispatcher(targets, Ticks())
    for model in targets:
        attempt = Attempt(model, model, Reason.DIRECT)
        await running.run(cascade([attempt]), request(cache_salt="theirs"), salt="ours", decision="mrd-1", tried=[])
    to_us, to_them = ours.requests[0], theirs.requests[0]
    assert (to_us.path, to_us.request_id, to_us.headers) == ("/v1/chat/completions", "mrd-1-1", {"traceparent": "00"})
    assert json.loads(to_us.body)["model"] == "m0"
    assert json.loads(to_us.body)["cache_salt"] == "ours"
    assert json.loads(to_them.body)["model"] == "cloud-1"
    assert "cache_salt" not in json.loads(to_them.body)


@pytest.mark.parametrize("path", RELAYED)
async def test_everything_that_fills_a_prefix_cache_is_salted(path: str) -> None:
    upstream = FakeUpstream(FakeAnswer([b'{"count":1}']))
    await dispatcher(upstream).run(
        cascade(plan(1)), request(path=path, query="q"), salt="s", decision="mrd-1", tried=[]
    )
    salt = json.loads(upstream.requests[0].body).get("cache_salt")
    assert salt == (None if path == "/tokenize" else "s")


async def test_a_stream_is_handed_over_at_its_first_event() -> None:
    upstream = FakeUpstream(chat_stream("one two three"))
    answer, _ = await run(upstream, stream=True)
    assert answer.content.startswith(b"data: {")
    assert upstream.in_flight == 1
    rest = b"".join([chunk async for chunk in answer.rest])
    assert rest.endswith(b"data: [DONE]\n\n")
    await answer.response.close()
    assert (upstream.in_flight, upstream.finished) == (0, 1)


@given(st.lists(st.integers(1, 200), max_size=8))
def test_the_opening_is_the_same_however_the_bytes_are_cut(cuts: Sequence[int]) -> None:
    whole = b": ping\n\nevent: x\n" + DELTA + DELTA
    places = sorted({0, len(whole), *(cut % len(whole) for cut in cuts)})
    chunks = [whole[start:end] for start, end in pairwise(places)]

    async def relayed() -> bytes:
        answer, _ = await run(FakeUpstream(FakeAnswer(chunks, headers=SSE)), stream=True)
        assert DELTA.rstrip() in answer.content
        return answer.content + b"".join([chunk async for chunk in answer.rest])

    assert asyncio.run(relayed()) == whole


FAILURES = {
    "refused": (refusing(UpstreamRefused("no")), "upstream_refused"),
    "timed out": (refusing(UpstreamTimeout("no")), "upstream_timeout"),
    "401": (FakeAnswer([b"{}"], status=401), "401"),
    "402": (FakeAnswer([b"{}"], status=402), "402"),
    "404": (FakeAnswer([b"{}"], status=404), "404"),
    "429": (FakeAnswer([b"{}"], status=429), "429"),
    "500": (FakeAnswer([b"{}"], status=500), "500"),
    "503": (FakeAnswer([b"{}"], status=503), "503"),
    "redirect": (FakeAnswer([b""], status=302), "upstream_invalid_response"),
}
UNARY_FAILURES = FAILURES | {
    "cut": (FakeAnswer([b'{"id":'], cut=True), "upstream_disconnected"),
    "html": (FakeAnswer([b"<html>"]), "upstream_invalid_response"),
    "half JSON": (FakeAnswer([b'{"id":']), "upstream_invalid_response"),
    "not UTF-8": (FakeAnswer([b'{"id":"\xff"}']), "upstream_invalid_response"),
    "too deep": (FakeAnswer([b"[" * 5000]), "upstream_invalid_response"),
    "a list": (FakeAnswer([b"[]"]), "upstream_invalid_response"),
    "empty": (FakeAnswer([]), "upstream_invalid_response"),
    "an error with 200": (FakeAnswer([b'{"error":{"message":"no"}}']), "upstream_invalid_response"),
}
STREAM_FAILURES = FAILURES | {
    "no stream": (chat_answer("4"), "upstream_invalid_response"),
    "nothing": (FakeAnswer([], headers=SSE), "upstream_disconnected"),
    "cut at once": (FakeAnswer([], headers=SSE, cut=True), "upstream_disconnected"),
    "half an event": (FakeAnswer([DELTA[:20]], headers=SSE), "upstream_disconnected"),
    "comments only": (FakeAnswer([b": ping\n\n"], headers=SSE), "upstream_disconnected"),
    "error first": (FakeAnswer([ERROR, DELTA], headers=SSE), "upstream_invalid_response"),
    "error first, in pieces": (FakeAnswer([ERROR[:20], ERROR[20:]], headers=SSE), "upstream_invalid_response"),
    "error after a comment": (FakeAnswer([b": hi\n\n", ERROR], headers=SSE), "upstream_invalid_response"),
    "garbage": (FakeAnswer([b"data: <html>\n\n"], headers=SSE), "upstream_invalid_response"),
    "too deep": (FakeAnswer([b"data: " + b"[" * 5000 + b"\n\n"], headers=SSE), "upstream_invalid_response"),
    "no answer": (FakeAnswer([b"data: [DONE]\n\n"], headers=SSE), "upstream_invalid_response"),
    "endless comment": (FakeAnswer([b":" * MAX_FRAME_BYTES, b"::"], headers=SSE), "upstream_invalid_response"),
}
CASES = [
    *(pytest.param(False, answer, outcome, id=f"unary {name}") for name, (answer, outcome) in UNARY_FAILURES.items()),
    *(pytest.param(True, answer, outcome, id=f"stream {name}") for name, (answer, outcome) in STREAM_FAILURES.items()),
]


@pytest.mark.parametrize(("stream", "failing", "outcome"), CASES)
async def test_the_next_model_is_asked_before_the_client_sees_anything(
    stream: bool, failing: FakeAnswer, outcome: str
) -> None:
    first, second = FakeUpstream(failing), FakeUpstream(chat_stream("4") if stream else chat_answer("4"))
    answer, tried = await run(first, second, stream=stream)
    assert answer.attempt == Attempt("m1", "m1", Reason.FALLBACK)
    assert [(one.attempt.model, one.outcome) for one in tried] == [("m0", outcome)]
    await answer.response.close()
    assert settled_all(first, second)


@pytest.mark.parametrize(("stream", "failing", "outcome"), CASES)
async def test_when_all_fail_the_last_failure_is_raised(stream: bool, failing: FakeAnswer, outcome: str) -> None:
    first, last = FakeUpstream(refusing(UpstreamTimeout("first"))), FakeUpstream(failing)
    tried: list[Tried] = []
    with pytest.raises(UpstreamFailed) as caught:
        await dispatcher(first, last).run(
            cascade(plan(2)), request(stream=stream), salt="s", decision="mrd-1", tried=tried
        )
    assert str(caught.value.upstream_status or caught.value.code) == outcome
    again = outcome in ("429", "500", "503", "upstream_disconnected")
    assert [one.outcome for one in tried] == ["upstream_timeout", outcome, *[outcome] * again]
    assert [one.replica for one in tried] == ["fake-0"] * len(tried)
    assert settled_all(first, last)


@pytest.mark.parametrize("status", [400, 405, 409, 413, 415, 422, 499])
@pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
async def test_what_is_wrong_with_the_request_is_passed_on(status: int, stream: bool) -> None:
    body = b'{"error":{"message":"max_tokens is too large"}}'
    first, second = FakeUpstream(FakeAnswer([body], status=status)), FakeUpstream(chat_answer("4"))
    answer, tried = await run(first, second, stream=stream)
    assert (answer.response.status, answer.content, answer.data, tried) == (status, body, {}, [])
    assert second.requests == []
    assert settled_all(first)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("7", 7), ("0", 0), ("soon", 5), ("\u00b2", 5), ("9" * 5000, 5), ("Wed, 21 Oct 2026 07:28:00 GMT", 5)],
    ids=["seconds", "zero", "word", "odd digit", "absurd", "date"],
)
async def test_how_long_a_refusing_upstream_wants_to_be_left_alone(value: str, seconds: int) -> None:
    upstream = FakeUpstream(FakeAnswer([b"{}"], status=429, headers={"Retry-After": value}))
    with pytest.raises(UpstreamRefused) as caught:
        await run(upstream)
    assert caught.value.retry_after_s == seconds
    assert caught.value.upstream_status == 429


@pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
@pytest.mark.parametrize("answer", [FakeAnswer(hang=True), FakeAnswer([b'{"a"'], headers=SSE, stall=True)])
async def test_an_attempt_that_takes_too_long_is_given_up(answer: FakeAnswer, stream: bool) -> None:
    upstream = FakeUpstream(answer, silence_s=0.01)
    with pytest.raises(UpstreamTimeout, match="fake-0 did not answer in time"):
        await run(upstream, stream=stream)
    assert (upstream.in_flight, upstream.cancelled) == (0, 1)


async def test_a_stream_that_says_something_but_no_token_is_given_up() -> None:
    upstream = FakeUpstream(FakeAnswer([b": ping\n\n"], headers=SSE, stall=True))
    with pytest.raises(UpstreamTimeout, match="fake-0 produced no token in time"):
        await run(upstream, stream=True, timeouts=Timeouts(first_token_s=0.01))
    assert (upstream.in_flight, upstream.cancelled) == (0, 1)


@pytest.mark.parametrize("answer", [FakeAnswer(hang=True), FakeAnswer([b'{"a"'], headers=SSE, stall=True)])
@pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
async def test_a_cancelled_attempt_is_closed_and_recorded(answer: FakeAnswer, stream: bool) -> None:
    upstream, tried = FakeUpstream(answer), []  # type: tuple[FakeUpstream, list[Tried]]
    running = dispatcher(upstream)
    task = asyncio.ensure_future(
        running.run(cascade(plan(1)), request(stream=stream), salt="s", decision="mrd-1", tried=tried)
    )
    await until(lambda: upstream.in_flight)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (upstream.in_flight, upstream.cancelled) == (0, 1)
    assert [one.outcome for one in tried] == ["cancelled"]


class RejectFirst:
    """A judge that is never content but with the second answer."""

    def accepts(self, attempt: Attempt, evidence: Evidence) -> bool:
        return attempt.model != "m0"


async def test_an_answer_that_is_judged_too_weak_is_closed_before_the_next_is_asked() -> None:
    weak, strong = FakeUpstream(chat_stream("weak")), FakeUpstream(chat_stream("strong"))
    running = dispatcher(weak, strong)
    answer = await running.run(
        cascade(plan(2), RejectFirst()), request(stream=True), salt="s", decision="mrd-1", tried=[]
    )
    assert answer.attempt == Attempt("m1", "m1", Reason.ESCALATION)
    assert (weak.in_flight, weak.cancelled) == (0, 1)
    await answer.response.close()


async def test_a_body_that_cannot_be_written_is_the_clients_error() -> None:
    nested: Any = 1
    for _ in range(5000):
        nested = [nested]
    bad = replace(request(), body={"model": "auto", "deep": nested})
    with pytest.raises(BadRequest):
        await dispatcher(FakeUpstream()).run(cascade(plan(1)), bad, salt="s", decision="mrd-1", tried=[])


async def test_time_is_shared_with_what_runs_beside_it() -> None:
    answer, _ = await run(FakeUpstream(chat_answer("4"), replica="r1"))
    answer.response.concurrency = 4
    one = settled(answer, now=answer.sent_s + 2.0, outcome="ok")
    assert one == Tried(answer.attempt, replica="r1", outcome="ok", busy_s=0.5)


@pytest.mark.parametrize("failure", [UpstreamRefused, UpstreamTimeout, UpstreamDisconnected, UpstreamInvalid])
async def test_the_seams_own_failures_pass_through(failure: type[UpstreamFailed]) -> None:
    with pytest.raises(failure):
        await run(FakeUpstream(refusing(failure("no"))))


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
    headers = {"content-type": "application/json"} | ({} if retry_after is None else {"retry-after": retry_after})
    return FakeAnswer([b'{"error":{"message":"no"}}'], status=code, headers=headers)


def unsent(pause_s: float | None = None) -> UpstreamRefused:
    refused = UpstreamRefused("nobody listens")
    refused.sent, refused.tried, refused.pause_s = False, pause_s is None, pause_s
    return refused


async def ask(running: Dispatcher, count: int, *, stream: bool = False) -> tuple[Answer | UpstreamFailed, list[Tried]]:
    tried: list[Tried] = []
    try:
        steps = cascade(plan(count))
        answer = await running.run(steps, request(stream=stream), salt="s", decision="mrd-1", tried=tried)
    except UpstreamFailed as failure:
        return failure, tried
    await answer.response.close()
    return answer, tried


@pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
@pytest.mark.parametrize(
    "failing",
    [status(500), status(429), FakeAnswer([b"{"], cut=True), refusing(UpstreamTimeout("no")), FakeAnswer([b"<html>"])],
    ids=["500", "429", "cut", "silent", "garbage"],
)
async def test_another_replica_of_the_same_model_is_asked_at_once(failing: FakeAnswer, stream: bool) -> None:
    good = FakeUpstream(chat_stream("4") if stream else chat_answer("4"), replica="b")
    bad, next_model, chance = FakeUpstream(failing, replica="a"), FakeUpstream(), Chance()
    answer, tried = await ask(dispatcher(Replicas(bad, good), next_model, chance=chance), 2, stream=stream)
    assert isinstance(answer, Answer)
    assert (answer.attempt, answer.response.replica) == (Attempt("m0", "m0", Reason.RETRY), "b")
    assert [(one.replica, one.attempt.reason) for one in tried] == [("a", Reason.SCORE)]
    assert [one.request_id for fake in (bad, good) for one in fake.requests] == ["mrd-1-1", "mrd-1-2"]
    assert (next_model.requests, chance.slept) == ([], [])


async def test_nobody_is_asked_a_third_time() -> None:
    fakes = [FakeUpstream(status(500), replica=name) for name in "abc"]
    last = FakeUpstream(status(500), replica="last")
    failure, tried = await ask(dispatcher(Replicas(*fakes), last), 2)
    assert isinstance(failure, UpstreamRefused)
    assert [one.replica for one in tried] == ["a", "b", "last", "last"]
    assert [one.attempt.reason for one in tried] == [Reason.SCORE, Reason.RETRY, Reason.FALLBACK, Reason.RETRY]


@pytest.mark.parametrize("code", [403, 404])
async def test_a_no_to_one_request_is_no_reason_to_leave_a_model_alone(code: int) -> None:
    model = FakeUpstream(status(code))
    asked = dispatcher(model)
    for _ in range(20):
        await ask(asked, 1)
    assert len(model.requests) == 20


@pytest.mark.parametrize("code", [401, 403, 404])
async def test_what_is_wrong_with_our_account_is_not_tried_elsewhere(code: int) -> None:
    bad, other = FakeUpstream(status(code), replica="a"), FakeUpstream(replica="b")
    failure, tried = await ask(dispatcher(Replicas(bad, other)), 1)
    assert isinstance(failure, UpstreamRefused)
    assert (len(tried), other.requests) == (1, [])


@pytest.mark.parametrize(
    ("failing", "again"),
    [
        (status(500), True),
        (status(429), True),
        (status(503, "soon"), True),
        (FakeAnswer([b"{"], cut=True), True),
        (status(429, "60"), False),
        (status(401), False),
        (refusing(UpstreamTimeout("no")), False),
        (refusing(unsent()), False),
        (FakeAnswer([b"<html>"]), False),
    ],
    ids=["500", "429", "503", "cut", "429 for long", "401", "silent", "refused", "garbage"],
)
async def test_the_last_place_is_asked_again_after_a_pause_where_that_can_help(
    failing: FakeAnswer, again: bool
) -> None:
    upstream, chance = FakeUpstream(failing, chat_answer("4")), Chance()
    answer, tried = await ask(dispatcher(upstream, chance=chance), 1)
    assert isinstance(answer, Answer) is again
    assert len(tried) == 1
    assert chance.slept == [chance.rules.first_pause_s / 2] * again


@pytest.mark.parametrize("code", [429, 503])
async def test_a_short_pause_is_waited_for_before_anybody_else_is_asked(code: int) -> None:
    upstream, next_model, chance = FakeUpstream(status(code, "2"), chat_answer("4")), FakeUpstream(), Chance()
    answer, _ = await ask(dispatcher(upstream, next_model, chance=chance), 2)
    assert isinstance(answer, Answer)
    assert answer.attempt.reason is Reason.RETRY
    assert (chance.slept, next_model.requests) == ([2.125], [])


async def test_a_long_pause_is_not_waited_for() -> None:
    upstream, next_model, chance = FakeUpstream(status(429, "3")), FakeUpstream(chat_answer("4")), Chance()
    answer, _ = await ask(dispatcher(upstream, next_model, chance=chance), 2)
    assert isinstance(answer, Answer)
    assert (answer.attempt.reason, chance.slept) == (Reason.FALLBACK, [])


async def test_what_reached_nobody_costs_no_budget() -> None:
    chance = Chance(RetryRules(floor=0))
    paused = FakeUpstream(refusing(unsent(1.0)), chat_answer("4"))
    answer, tried = await ask(dispatcher(FakeUpstream(refusing(unsent())), paused, chance=chance), 2)
    assert isinstance(answer, Answer)
    assert chance.slept == [1.125]
    assert [one.outcome for one in tried] == ["upstream_refused"] * 2


async def test_when_the_budget_is_used_up_the_failure_is_not_followed_by_another_attempt() -> None:
    chance, second = Chance(RetryRules(floor=1)), FakeUpstream(chat_answer("4"))
    running = dispatcher(FakeUpstream(status(500)), second, chance=chance)
    first_answer, _ = await ask(running, 2)
    failure, tried = await ask(running, 2)
    assert isinstance(first_answer, Answer)
    assert isinstance(failure, RetryBudgetExhausted)
    assert isinstance(failure.__cause__, UpstreamRefused)
    assert (failure.retry_after_s, len(tried), len(second.requests)) == (5, 1, 1)


async def test_a_retry_that_reached_nobody_is_given_back() -> None:
    chance, last = Chance(RetryRules(floor=1)), FakeUpstream(chat_answer("4"))
    running = dispatcher(FakeUpstream(status(500)), FakeUpstream(refusing(unsent())), last, chance=chance)
    answer, tried = await ask(running, 3)
    assert isinstance(answer, Answer)
    assert [one.outcome for one in tried] == ["500", "upstream_refused"]


def lost() -> UpstreamDisconnected:
    failure = UpstreamDisconnected("cut")
    failure.lost = True
    return failure


async def test_what_was_lost_with_its_replica_is_sent_again_at_no_cost() -> None:
    chance, good = Chance(RetryRules(floor=0)), FakeUpstream(chat_answer("4"), replica="b")
    answer, tried = await ask(dispatcher(Replicas(FakeUpstream(refusing(lost()), replica="a"), good), chance=chance), 1)
    assert isinstance(answer, Answer)
    assert [(one.replica, one.outcome) for one in tried] == [("a", "upstream_disconnected")]


async def test_what_fails_after_a_loss_is_paid_for() -> None:
    chance, last = Chance(RetryRules(floor=0)), FakeUpstream(chat_answer("4"))
    pair = Replicas(FakeUpstream(refusing(lost()), replica="a"), FakeUpstream(status(500), replica="b"))
    failure, tried = await ask(dispatcher(pair, last, chance=chance), 2)
    assert isinstance(failure, RetryBudgetExhausted)
    assert ([one.outcome for one in tried], last.requests) == (["upstream_disconnected", "500"], [])


async def test_an_escalation_is_no_retry() -> None:
    weak, strong, chance = (
        FakeUpstream(chat_answer("weak")),
        FakeUpstream(chat_answer("4")),
        Chance(RetryRules(floor=0)),
    )
    running = dispatcher(weak, strong, chance=chance)
    steps = cascade(plan(2), RejectFirst())
    answer = await running.run(steps, request(), salt="s", decision="mrd-1", tried=[])
    assert answer.attempt.reason is Reason.ESCALATION


@given(st.lists(st.sampled_from(["ok", "500", "cut", "refused", "429"]), min_size=1, max_size=60))
def test_upstreams_are_never_hit_with_more_than_the_budget(outcomes: Sequence[str]) -> None:
    """However three models fail, what reaches them is the requests, and a fifth or the floor on top."""
    answers = {
        "ok": chat_answer("4"),
        "500": status(500),
        "cut": FakeAnswer([b"{"], cut=True),
        "refused": refusing(unsent()),
        "429": status(429, "1"),
    }
    chance = Chance(RetryRules(ratio=0.2, floor=3))
    upstreams = [FakeUpstream(*(answers[one] for one in outcomes[n:] or outcomes)) for n in range(3)]
    patient = BreakerRules(min_calls=10**6, consecutive=10**6)
    running = dispatcher(*upstreams, chance=chance, rules=patient, clock=Ticks(0.01))

    async def storm() -> int:
        for _ in range(40):
            await ask(running, 3)
        return 40

    asked = asyncio.run(storm())
    assert sum(one.reached for one in upstreams) <= asked + max(3, 0.2 * asked)


FAILS_AT_ONCE = BreakerRules(consecutive=1, open_s=10.0)


async def test_a_model_that_keeps_failing_is_skipped_without_being_sent_anything() -> None:
    bad, good, chance = FakeUpstream(status(500)), FakeUpstream(chat_answer("4")), Chance(RetryRules(floor=1))
    running = dispatcher(bad, good, chance=chance, rules=FAILS_AT_ONCE)
    await ask(running, 2)
    answer, tried = await ask(running, 2)
    assert isinstance(answer, Answer)
    assert answer.attempt.model == "m1"
    assert [(one.outcome, one.replica) for one in tried] == [(BREAKER_OPEN, "-")]
    assert len(bad.requests) == 1


async def test_who_names_a_model_that_keeps_failing_is_told_when_to_come_back() -> None:
    bad, clock = FakeUpstream(status(401), chat_answer("4")), Ticks()
    running = dispatcher(bad, rules=FAILS_AT_ONCE, clock=clock)
    await ask(running, 1)
    failure, tried = await ask(running, 1)
    assert isinstance(failure, UpstreamRefused)
    assert (failure.retry_after_s, [one.outcome for one in tried]) == (8, [BREAKER_OPEN])
    clock.now += 8
    answer, _ = await ask(running, 1)
    assert isinstance(answer, Answer)


async def test_one_request_at_a_time_finds_out_whether_it_works_again() -> None:
    upstream, clock = FakeUpstream(status(401), FakeAnswer(hang=True), chat_answer("4")), Ticks()
    running = dispatcher(upstream, rules=FAILS_AT_ONCE, clock=clock)
    await ask(running, 1)
    clock.now += 10
    probing = asyncio.ensure_future(ask(running, 1))
    await until(lambda: upstream.in_flight)
    second, _ = await ask(running, 1)
    assert isinstance(second, UpstreamRefused)
    assert second.retry_after_s == 1
    probing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await probing
    third, _ = await ask(running, 1)
    assert isinstance(third, Answer)


async def test_a_probe_is_one_call_and_not_two() -> None:
    first, other = FakeUpstream(status(500), replica="a"), FakeUpstream(chat_answer("4"), replica="b")
    clock, upstream = Ticks(), Replicas(first, FakeUpstream(status(500), replica="b"))
    running = dispatcher(upstream, rules=FAILS_AT_ONCE, clock=clock)
    await ask(running, 1)
    clock.now += 10
    upstream.fakes = (first, other)
    failure, tried = await ask(running, 1)
    assert isinstance(failure, UpstreamRefused)
    assert [one.outcome for one in tried] == ["500"]
    assert other.requests == []


@pytest.mark.parametrize("answer", [status(400), status(422), refusing(unsent(60.0))], ids=["400", "422", "paused"])
async def test_what_says_nothing_about_a_model_does_not_count_against_it(answer: FakeAnswer) -> None:
    upstream = FakeUpstream(answer)
    running = dispatcher(upstream, rules=FAILS_AT_ONCE)
    for _ in range(3):
        await ask(running, 1)
    assert len(upstream.requests) == 3


async def test_who_leaves_during_a_pause_leaves_nothing_behind() -> None:
    upstream, chance = FakeUpstream(status(500)), Chance()
    pausing = asyncio.Event()

    async def sleep(seconds: float) -> None:
        pausing.set()
        await asyncio.Event().wait()

    running = dispatcher(upstream, chance=chance)
    running._retrying = replace(chance.retrying, sleep=sleep)
    task = asyncio.ensure_future(ask(running, 1))
    await pausing.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (upstream.in_flight, len(upstream.requests)) == (0, 1)


@pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
@pytest.mark.parametrize("good", [True, False], ids=["good", "bad"])
async def test_an_upstream_hears_once_what_its_response_was_worth(stream: bool, good: bool) -> None:
    fine = chat_stream("4") if stream else chat_answer("4")
    upstream = FakeUpstream(fine if good else FakeAnswer([b"<html>"], headers=SSE if stream else {}))
    await ask(dispatcher(upstream), 1, stream=stream)
    (verdicts,) = upstream.verdicts
    assert len(verdicts) == 1
    assert (verdicts[0] is None) is good
