"""Retries never add more than their share to the load, in any minute, and spread over time."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.retry import RetryBudget, RetryRules, pause_s

EVENTS = st.lists(
    st.tuples(st.sampled_from(["request", "retry", "never sent"]), st.floats(0.0, 15.0, allow_subnormal=False)),
    max_size=120,
)


def test_without_traffic_there_is_a_floor() -> None:
    budget = RetryBudget(RetryRules(ratio=0.2, floor=2))
    assert [budget.take(0.0) for _ in range(4)] == [True, True, False, False]


def test_with_traffic_there_is_a_share() -> None:
    budget = RetryBudget(RetryRules(ratio=0.2, floor=2))
    for _ in range(100):
        budget.requested(10.0)
    assert sum(budget.take(11.0) for _ in range(100)) == 20


def test_after_a_minute_it_is_there_again() -> None:
    budget = RetryBudget(RetryRules(ratio=0.0, floor=1))
    assert budget.take(0.5)
    assert not budget.take(60.4)
    assert budget.take(61.0)


def test_what_reached_nobody_is_given_back() -> None:
    budget = RetryBudget(RetryRules(ratio=0.0, floor=1))
    assert budget.take(5.0)
    budget.give_back(5.0)
    assert budget.take(5.1)
    assert not budget.take(5.2)


@given(EVENTS, st.sampled_from([0.0, 0.1, 0.2, 1.0]), st.integers(0, 5))
def test_in_every_minute_retries_keep_to_the_budget(
    events: Sequence[tuple[str, float]], ratio: float, floor: int
) -> None:
    budget = RetryBudget(RetryRules(ratio=ratio, floor=floor))
    requests: list[float] = []
    retries: list[float] = []
    now = 0.0
    for event, pause in events:
        now += pause
        if event == "request":
            budget.requested(now)
            requests.append(now)
        elif budget.take(now):
            if event == "retry":
                retries.append(now)
            else:
                budget.give_back(now)
    for end in retries:
        in_minute = [sum(end - 60.0 < one <= end for one in times) for times in (requests, retries)]
        assert in_minute[1] <= max(floor, ratio * in_minute[0])


def test_steady_failure_costs_a_fifth_more_and_not_less() -> None:
    budget = RetryBudget(RetryRules(ratio=0.2, floor=0))
    made = 0
    for n in range(3000):
        budget.requested(n * 0.1)
        made += budget.take(n * 0.1)
    assert 0.18 * 3000 < made <= 0.2 * 3000


@pytest.mark.parametrize(("retries", "longest"), [(0, 0.25), (1, 0.5), (2, 1.0), (3, 2.0), (9, 2.0), (5000, 2.0)])
def test_pauses_double_up_to_a_cap(retries: int, longest: float) -> None:
    assert pause_s(RetryRules(), retries, lambda: 0.5) == longest / 2


@given(st.floats(0.0, 1.0, exclude_max=True), st.integers(0, 60), st.none() | st.floats(0.0, 100.0))
def test_a_pause_is_never_shorter_than_asked_for_nor_longer_than_it_may_be(
    chance: float, retries: int, asked_s: float | None
) -> None:
    rules = RetryRules()
    pause = pause_s(rules, retries, lambda: chance, asked_s=asked_s)
    assert (asked_s or 0.0) <= pause <= (asked_s or 0.0) + rules.longest_pause_s
