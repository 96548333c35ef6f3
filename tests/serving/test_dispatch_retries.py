"""Attempts after a failed one: another replica, the same one after a pause, and never more than the budget."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.breaker import BreakerRules
from routing.cascade import Attempt, Reason, cascade
from routing.retry import RetryRules
from serving.dispatch import Answer
from serving.errors import RetryBudgetExhausted, UpstreamDisconnected, UpstreamRefused, UpstreamTimeout
from tests.doubles.upstream import FakeAnswer, FakeUpstream, chat_answer, chat_stream, refusing
from tests.serving.dispatch_run import Chance, RejectFirst, Replicas, ask, dispatcher, plan, request, status, unsent
from tests.serving.world import Ticks


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
