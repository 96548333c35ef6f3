"""Breakers at dispatch: who keeps failing is left alone and found out about later; what says nothing does not count."""

import asyncio

import pytest

from routing.breaker import BreakerRules
from routing.retry import RetryRules
from serving.dispatch import BREAKER_OPEN, Answer
from serving.errors import UpstreamRefused
from tests.doubles.upstream import FakeAnswer, FakeUpstream, chat_answer, refusing
from tests.serving.asgi_call import until
from tests.serving.dispatch_run import Chance, Replicas, ask, dispatcher, status, unsent
from tests.serving.world import Ticks

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


@pytest.mark.parametrize("code", [403, 404])
async def test_a_no_to_one_request_is_no_reason_to_leave_a_model_alone(code: int) -> None:
    model = FakeUpstream(status(code))
    asked = dispatcher(model)
    for _ in range(20):
        await ask(asked, 1)
    assert len(model.requests) == 20


@pytest.mark.parametrize("answer", [status(400), status(422), refusing(unsent(60.0))], ids=["400", "422", "paused"])
async def test_what_says_nothing_about_a_model_does_not_count_against_it(answer: FakeAnswer) -> None:
    upstream = FakeUpstream(answer)
    running = dispatcher(upstream, rules=FAILS_AT_ONCE)
    for _ in range(3):
        await ask(running, 1)
    assert len(upstream.requests) == 3
