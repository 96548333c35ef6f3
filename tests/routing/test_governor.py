"""The governor: what it holds, what it never does, and the caps beside it."""

import random
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.governor import Amplification, Governor, GovernorRules, HedgeBudget

RULES = GovernorRules()


@pytest.mark.parametrize("target", [0.1, 0.25, 0.5, 0.8])
@pytest.mark.parametrize("start", [0.05, 0.5, 0.99])
def test_it_holds_a_rate_within_2_points_after_500_requests(start: float, target: float) -> None:
    chance = random.Random(3)
    governor = Governor(RULES, start)
    escalated = []
    for at in range(1500):
        low = 1.0 if at < 1000 else 2.0  # later on, answers are less sure
        confidence = chance.betavariate(4.0, low)
        escalated.append(confidence < governor.state.threshold)
        governor.answered(escalated=escalated[-1], target=target)
    assert sum(escalated[500:]) / 1000 == pytest.approx(target, abs=0.02)


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 1)), max_size=40), st.floats(0.02, 0.9999), st.floats(0, 1))
def test_it_is_never_looser_than_the_promise(answers: list[tuple[bool, float]], promised: float, start: float) -> None:
    governor = Governor(RULES, start, guaranteed=promised)
    for escalated, target in answers:
        assert governor.answered(escalated=escalated, target=target).threshold >= promised


@given(st.lists(st.floats(0, 1000), max_size=80), st.floats(0, 1))
def test_it_stays_in_its_range(values: list[float], start: float) -> None:
    governor = Governor(RULES, start)
    for value in values:
        state = governor.measured(value, target=10.0)
        assert RULES.loosest <= state.threshold <= RULES.strictest
        assert not state.alarm


def test_more_than_the_target_loosens_and_less_makes_stricter() -> None:
    governor = Governor(RULES, 0.5)
    assert governor.measured(20.0, target=10.0).threshold < 0.5
    assert governor.measured(0.0, target=10.0).threshold == pytest.approx(0.5)
    assert governor.measured(5.0, target=10.0).threshold > 0.5


def test_a_target_that_breaks_the_promise_raises_an_alarm_until_it_no_longer_does() -> None:
    governor = Governor(RULES, 0.6, guaranteed=0.5)
    assert not governor.state.alarm
    while not governor.measured(20.0, target=10.0).alarm:
        pass
    assert governor.state.threshold == 0.5
    assert governor.measured(5.0, target=10.0).alarm  # still next to the limit
    for _ in range(3):
        governor.measured(5.0, target=10.0)
    assert not governor.state.alarm


def test_there_is_no_wind_up_at_the_limit() -> None:
    governor = Governor(RULES, 0.6, guaranteed=0.5)
    for _ in range(1000):
        governor.answered(escalated=True, target=0.1)
    governor.answered(escalated=False, target=0.9)
    assert governor.state.threshold > 0.5


def test_a_promise_may_come_and_go() -> None:
    governor = Governor(RULES, 0.3)
    governor.promise(inf)
    assert governor.state.threshold == inf
    governor.promise(0.99999)
    assert governor.state.threshold == 0.99999
    governor.promise(0.4)
    assert governor.state.threshold >= 0.4
    governor.promise(None)
    for _ in range(100):
        governor.answered(escalated=True, target=0.0)
    assert governor.state.threshold < 0.4


@pytest.mark.parametrize(
    "rules", [{"loosest": 0.0}, {"strictest": 1.0}, {"loosest": 0.9, "strictest": 0.8}, {"gain": 0.0}], ids=str
)
def test_rules_that_cannot_govern_are_refused(rules: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"range|governs"):
        GovernorRules(**rules)


@given(st.lists(st.tuples(st.floats(0, 5), st.integers(1, 3)), max_size=60))
def test_attempts_per_request_are_capped(steps: list[tuple[float, int]]) -> None:
    amplification, now, attempts = Amplification(cap=1.5, window_s=1e9, free=0), 0.0, 0
    for requests, (wait, tries) in enumerate(steps, start=1):
        now += wait
        amplification.received(now)
        attempts += 1 + sum(amplification.escalate(now) for _ in range(tries))
        assert attempts <= 1.5 * requests
        assert amplification.ratio(now) == attempts / requests


def test_a_quiet_window_lets_a_first_escalation_through_and_old_ones_are_forgotten() -> None:
    amplification = Amplification(cap=1.5, window_s=10.0, free=2)
    assert amplification.ratio(0.0) == 1.0
    amplification.received(0.0)
    assert [amplification.escalate(0.0) for _ in range(2)] == [True, False]
    amplification.received(20.0)
    assert amplification.escalate(20.0)


@pytest.mark.parametrize("cap", [{"cap": 0.9}, {"free": -1}], ids=str)
def test_a_cap_that_forbids_first_attempts_is_refused(cap: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="cap"):
        Amplification(**cap)  # type: ignore[arg-type]


@given(st.integers(0, 400), st.floats(0, 1), st.floats(0, 20))
def test_hedges_are_a_share_of_the_requests(requests: int, share: float, burst: float) -> None:
    budget, taken = HedgeBudget(0.0, share=share, burst=burst), 0
    for _ in range(requests):
        budget.received()
        taken += budget.take(0.0, 1.0)
    assert taken <= burst + share * requests + 1e-6


def test_hedges_are_paid_in_usd_too() -> None:
    budget = HedgeBudget(0.0, burst=10.0, usd_per_h=2.0)
    assert [budget.take(0.0, 1.5), budget.take(0.0, 1.5)] == [True, False]
    assert not budget.take(1000.0, 1.5)
    assert budget.take(1900.0, 1.5)
    assert not budget.take(0.0, 0.5)  # a clock that goes back earns nothing


@pytest.mark.parametrize("bad", [{"share": 1.1}, {"burst": -1.0}, {"usd_per_h": -1.0}], ids=str)
def test_a_hedge_budget_needs_sense(bad: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="share"):
        HedgeBudget(0.0, **bad)
