"""Steering: a spend that keeps to its budget, and λ that keeps to its grid."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.steering import SpendBalance, Steering, SteeringRules

RULES = SteeringRules(0.001, 10.0)


@given(st.lists(st.floats(-5, 5), max_size=60), st.floats(1e-6, 1e6))
def test_lambda_stays_on_the_grid_and_moves_in_bounds(errors: list[float], start: float) -> None:
    steering = Steering(RULES, start)
    for error in errors:
        before = steering.value
        after = steering.step(error)
        assert RULES.least <= after <= RULES.most
        assert before / 1.6488 <= after <= before * 1.6488


@given(st.floats(0.001, 5), st.integers(1, 30))
def test_lasting_overspending_raises_lambda_and_underspending_lowers_it(error: float, steps: int) -> None:
    dearer, cheaper = Steering(RULES, 0.1), Steering(RULES, 0.1)
    for _ in range(steps):
        assert dearer.step(error) > 0.1 > cheaper.step(-error)


def test_what_is_within_budget_changes_nothing() -> None:
    assert Steering(RULES, 0.3).step(0.0) == pytest.approx(0.3)


def test_a_grid_of_one_value_is_steered_nowhere() -> None:
    assert Steering(SteeringRules(0.2, 0.2), 5.0).step(0.4) == 0.2


@pytest.mark.parametrize(
    "rules",
    [{"least": 0.0, "most": 1.0}, {"least": 2.0, "most": 1.0}, {"least": 1.0, "most": float("inf")},
     {"least": 1.0, "most": 2.0, "k_i": -1.0}, {"least": 1.0, "most": 2.0, "longest_step": 0.0}],
    ids=["zero", "order", "infinite", "gain", "step"],
)  # fmt: skip
def test_rules_that_cannot_steer_are_refused(rules: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"λ|gains"):
        SteeringRules(**rules)


def test_the_error_is_relative_to_a_window_and_comes_once_per_block() -> None:
    balance = SpendBalance(requests=4, block=2)
    assert balance.add(3.0, 1.0) is None
    assert balance.add(1.0, 1.0) == 0.5  # 2 too much, 4 allowed per window
    assert balance.add(0.0, 1.0) is None
    assert balance.add(0.0, 1.0) == 0.0


def test_the_balance_is_carried_over_up_to_one_window() -> None:
    balance = SpendBalance(requests=2, block=1)
    assert balance.add(100.0, 1.0) == 1.0
    assert balance.add(0.0, 1.0) == 0.5


def test_a_block_that_is_allowed_nothing_has_no_error() -> None:
    balance = SpendBalance(requests=2, block=1)
    assert balance.add(1.0, 0.0) is None
    assert balance.add(0.0, 2.0) == pytest.approx(-0.25)


@pytest.mark.parametrize(("requests", "block"), [(5, 0), (5, 6)])
def test_a_window_needs_blocks_that_fit(requests: int, block: int) -> None:
    with pytest.raises(ValueError, match="blocks"):
        SpendBalance(requests=requests, block=block)


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("start", [0.001, 0.2, 10.0], ids=["spends all", "about right", "spends nothing"])
@pytest.mark.parametrize("budget", [0.3, 0.7])
def test_spend_is_within_2_percent_though_prompts_change(budget: float, start: float, seed: int) -> None:
    """Gains of asking the strong model: normal, and lower by half from the middle on; weak costs 0.05, strong 1."""
    chance = random.Random(seed)
    steering, balance, spent = Steering(RULES, start), SpendBalance(), 0.0
    for at in range(6000):
        gain = chance.gauss(0.2 if at < 3000 else 0.1, 0.1)
        cost = 1.0 if gain >= steering.value else 0.05
        spent += cost
        error = balance.add(cost, budget)
        if error is not None:
            steering.step(error)
    assert spent / (6000 * budget) == pytest.approx(1.0, abs=0.02)
