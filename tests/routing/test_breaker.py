"""The breaker: what opens it, how long it stays open, and that half-open means one call at a time."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.breaker import Breaker, BreakerRules, Pass, Result, State

RULES = BreakerRules(window_s=10.0, failure_share=0.5, min_calls=4, consecutive=3, open_s=4.0, longest_open_s=10.0)


def breaker(chance: float = 0.0) -> Breaker:
    return Breaker(RULES, lambda: chance)


def call(one: Breaker, result: Result, now: float) -> bool:
    """Make a call if it is let through."""
    leave = one.enter(now)
    if leave is not None:
        one.leave(leave, result, now)
    return leave is not None


def opened(now: float = 0.0, chance: float = 0.0) -> Breaker:
    one = breaker(chance)
    for _ in range(RULES.consecutive):
        assert call(one, Result.FAILED, now)
    assert one.state(now) is State.OPEN
    return one


def test_failures_in_a_row_open_it() -> None:
    one = opened()
    assert not call(one, Result.GOOD, 0.0)
    assert one.closed_for_s(0.5) == 1.5


def test_a_good_answer_ends_the_row() -> None:
    one = breaker()
    for result in (Result.FAILED, Result.FAILED, Result.GOOD) * 1:
        call(one, result, 0.0)
    assert one.state(0.0) is State.CLOSED
    assert one.closed_for_s(0.0) == 0.0


@pytest.mark.parametrize(
    ("results", "state"),
    [("GGFF", State.OPEN), ("GGGF", State.CLOSED), ("GFF", State.CLOSED), ("GFGFGF", State.OPEN)],
    ids=["half", "a quarter", "too few", "half, mixed"],
)
def test_a_share_of_failures_opens_it(results: str, state: State) -> None:
    one = breaker()
    for result in results:
        call(one, Result.GOOD if result == "G" else Result.FAILED, 0.0)
    assert one.state(0.0) is state


def test_what_is_over_does_not_count() -> None:
    one = breaker()
    for result, now in ((Result.FAILED, 0.0), (Result.FAILED, 0.0), (Result.GOOD, 11.0), (Result.GOOD, 11.0)):
        call(one, result, now)
    call(one, Result.FAILED, 11.0)
    call(one, Result.GOOD, 11.0)
    assert one.state(11.0) is State.CLOSED


def test_what_was_never_sent_or_was_given_up_says_nothing() -> None:
    one = breaker()
    for _ in range(20):
        call(one, Result.ABANDONED, 0.0)
    call(one, Result.FAILED, 0.0)
    assert one.state(0.0) is State.CLOSED


@pytest.mark.parametrize(("chance", "pauses"), [(0.0, [2.0, 4.0, 5.0, 5.0]), (1.0, [4.0, 8.0, 10.0, 10.0])])
def test_pauses_grow_with_jitter_up_to_a_cap(chance: float, pauses: Sequence[float]) -> None:
    one, now = opened(chance=chance), 0.0
    for pause in pauses:
        assert one.closed_for_s(now) == pause
        now += pause
        assert one.state(now) is State.HALF_OPEN
        assert call(one, Result.FAILED, now)


def test_a_good_probe_closes_it_and_the_next_pause_is_the_first_again() -> None:
    one = opened()
    call(one, Result.FAILED, 2.0)
    assert one.closed_for_s(2.0) == 4.0
    call(one, Result.GOOD, 6.0)
    assert one.state(6.0) is State.CLOSED
    for _ in range(3):
        call(one, Result.FAILED, 6.0)
    assert one.closed_for_s(6.0) == 2.0


def test_a_probe_that_is_given_up_makes_room_for_the_next() -> None:
    one = opened()
    first = one.enter(2.0)
    assert first is not None
    assert one.enter(2.0) is None
    assert one.closed_for_s(2.0) == 0.0
    one.leave(first, Result.ABANDONED, 2.5)
    assert one.state(2.5) is State.HALF_OPEN
    assert call(one, Result.GOOD, 2.5)


def test_results_of_calls_from_before_are_not_believed() -> None:
    one = breaker()
    old = [one.enter(0.0) for _ in range(4)]
    for _ in range(3):
        call(one, Result.FAILED, 0.0)
    for leave, result in zip(old, (Result.GOOD, Result.FAILED, Result.ABANDONED, Result.GOOD), strict=True):
        assert leave is not None
        one.leave(leave, result, 1.0)
    assert one.state(1.0) is State.OPEN
    assert one.closed_for_s(1.0) == 1.0


STEPS = st.lists(
    st.tuples(st.sampled_from(["enter", *Result]), st.floats(0.0, 6.0, allow_subnormal=False), st.integers(0, 9)),
    max_size=80,
)


@given(STEPS, st.floats(0.0, 1.0, exclude_max=True))
def test_there_is_one_probe_at_a_time_and_none_while_it_is_open(
    steps: Sequence[tuple[str | Result, float, int]], chance: float
) -> None:
    one, now = breaker(chance), 0.0
    under_way: list[Pass] = []
    for step, pause, which in steps:
        now += pause
        if isinstance(step, Result):
            if under_way:
                one.leave(under_way.pop(which % len(under_way)), step, now)
            continue
        state = one.state(now)
        leave = one.enter(now)
        if leave is not None:
            under_way.append(leave)
        assert (state is State.OPEN) <= (leave is None)
        assert leave is None or leave.probe == (state is State.HALF_OPEN)
        assert sum(one.probe for one in under_way) <= 1
        assert 0.0 <= one.closed_for_s(now) <= RULES.longest_open_s
    for leave in under_way:
        one.leave(leave, Result.ABANDONED, now)
    assert one.enter(now + RULES.longest_open_s) is not None
