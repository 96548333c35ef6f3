"""The guarantee: exact bounds against known values, and a promise that is kept over many draws."""

import random
from fractions import Fraction
from itertools import combinations
from math import comb, inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.guarantee import (
    DRIFT_PSI,
    InForce,
    allowed_losses,
    binomial_tail,
    certify,
    hoeffding_bentkus,
    in_force,
    least_rows,
    lower_bound,
    miss_probability,
    shares,
    stability_index,
    upper_bound,
)

LEVELS = [at / 100 for at in range(101)]


@pytest.mark.parametrize("p", [Fraction(1, 50), Fraction(1, 20), Fraction(1, 2)], ids=str)
@pytest.mark.parametrize(("k", "n"), [(0, 1), (3, 10), (5, 500), (25, 500), (250, 500)], ids=str)
def test_the_tail_is_exact(k: int, n: int, p: Fraction) -> None:
    exact = sum(comb(n, i) * p**i * (1 - p) ** (n - i) for i in range(k + 1))
    assert binomial_tail(k, n, float(p)) == pytest.approx(float(exact), abs=1e-12)


@pytest.mark.parametrize(
    ("k", "n", "p", "tail"), [(-1, 5, 0.5, 0.0), (5, 5, 0.5, 1.0), (2, 5, 0.0, 1.0), (2, 5, 1.0, 0.0)], ids=str
)
def test_the_tail_at_its_ends(k: int, n: int, p: float, tail: float) -> None:
    assert binomial_tail(k, n, p) == tail


def test_the_bounds_are_those_of_the_beta_distribution() -> None:
    assert upper_bound(0, 114, 0.1) == pytest.approx(1 - 0.1 ** (1 / 114), abs=1e-12)
    assert lower_bound(114, 114, 0.1) == pytest.approx(0.1 ** (1 / 114), abs=1e-12)
    assert upper_bound(7, 7, 0.1) == 1.0
    assert lower_bound(0, 7, 0.1) == 0.0
    assert (lower_bound(30, 300, 0.025), upper_bound(30, 300, 0.025)) == pytest.approx((0.068, 0.140), abs=1e-3)


@given(st.integers(1, 60), st.data())
def test_a_bound_leaves_delta(n: int, data: st.DataObject) -> None:
    k = data.draw(st.integers(0, n - 1))
    delta = data.draw(st.floats(0.001, 0.5))
    assert binomial_tail(k, n, upper_bound(k, n, delta)) == pytest.approx(delta, abs=1e-9)
    assert lower_bound(k, n, delta) <= k / n <= upper_bound(k, n, delta)


@pytest.mark.parametrize(("n", "two", "five"), [(500, 5, 18), (1000, 13, 40), (2000, 31, 87)])
def test_allowed_losses_are_those_of_the_table(n: int, two: int, five: int) -> None:
    assert (allowed_losses(n, 0.02, 0.1), allowed_losses(n, 0.05, 0.1)) == (two, five)


@pytest.mark.parametrize(("alpha", "least"), [(0.02, 114), (0.05, 45)])
def test_the_least_rows_are_just_enough(alpha: float, least: int) -> None:
    assert least_rows(alpha, 0.1) == least
    assert allowed_losses(least, alpha, 0.1) == 0
    assert allowed_losses(least - 1, alpha, 0.1) == -1


def test_every_row_may_be_lost_when_delta_is_almost_one() -> None:
    assert allowed_losses(2, 0.9, 0.99) == 1
    assert allowed_losses(1, 0.01, 0.995) == 0


def test_a_coin_adds_at_most_one_loss() -> None:
    for horizon in (None, 776):
        never = allowed_losses(500, 0.02, 0.1, horizon=horizon)
        assert allowed_losses(500, 0.02, 0.1, horizon=horizon, coin=0.0) == never + 1
    before, after = binomial_tail(5, 500, 0.02), binomial_tail(6, 500, 0.02)
    odds = (0.1 - before) / (after - before)
    assert allowed_losses(500, 0.02, 0.1, coin=odds - 1e-9) == 6
    assert allowed_losses(500, 0.02, 0.1, coin=odds + 1e-9) == 5
    assert allowed_losses(100, 0.02, 0.1, coin=0.0) == 0  # not even none would do without it


def test_the_miss_probability_counts_arrangements() -> None:
    n, horizon, alpha, k = 4, 5, 0.2, 1  # missed by at least 2 losses of 5, so what counts are the first 3 losses
    drawn = list(combinations(range(n + horizon), 3))
    missed = sum(sum(at < n for at in losses) <= k for losses in drawn)
    assert miss_probability(k, n, alpha, horizon) == pytest.approx(missed / len(drawn))
    assert miss_probability(4, 4, 0.5, 1) == 1.0
    assert miss_probability(2, 2, 1.0, 3) == 0.0


def test_a_long_horizon_is_the_expectation() -> None:
    assert miss_probability(5, 500, 0.02, 10_000_000) == pytest.approx(binomial_tail(5, 500, 0.02), abs=1e-4)


def test_the_loosest_threshold_before_the_first_failure_is_certified() -> None:
    confidences = [0.9] * 100 + [0.5] * 100 + [0.1] * 10
    losses = [0.0] * 100 + [1.0] * 3 + [0.0] * 97 + [1.0] * 10
    found = certify(confidences, losses, LEVELS, 0.05, 0.1)
    assert (found.threshold, found.loss, found.n) == (0.11, 3.0, 210)
    assert found.stricter == 0.51
    assert found.bound == upper_bound(3, 210, 0.1) <= 0.05


def test_too_few_rows_certify_nothing() -> None:
    found = certify([0.9] * 44, [0.0] * 44, LEVELS, 0.05, 0.1)
    assert (found.threshold, found.stricter, found.loss) == (inf, inf, 0.0)


def test_a_coarse_loss_stops_where_it_fails_though_later_ones_would_pass() -> None:
    assert certify([0.9] * 60, [1.0] * 9 + [0.0] * 51, LEVELS, 0.05, 0.1).threshold == 0.91


@pytest.mark.parametrize(
    ("confidences", "losses", "alpha", "delta"),
    [([], [], 0.1, 0.1), ([0.5], [0.0, 1.0], 0.1, 0.1), ([0.5], [0.0], 0.0, 0.1), ([0.5], [0.0], 0.1, 1.0),
     ([0.5], [1.5], 0.1, 0.1)],
    ids=["none", "unequal", "alpha", "delta", "loss"],
)  # fmt: skip
def test_what_cannot_be_certified_is_refused(
    confidences: list[float], losses: list[float], alpha: float, delta: float
) -> None:
    with pytest.raises(ValueError, match=r"as many|between 0 and 1|lie in"):
        certify(confidences, losses, LEVELS, alpha, delta)


def test_partial_losses_get_the_other_bound_and_no_horizon() -> None:
    confidences, losses = [0.9] * 400 + [0.5] * 100, [0.001] * 400 + [0.4] * 100
    found = certify(confidences, losses, LEVELS, 0.05, 0.1)
    assert found.threshold == 0.51
    assert found.loss == pytest.approx(0.4)
    assert hoeffding_bentkus(found.loss / 500, 500, found.bound) == pytest.approx(0.1, abs=1e-6)
    assert certify(confidences[:9], losses[:9], LEVELS, 0.05, 0.1).threshold == inf
    with pytest.raises(ValueError, match="horizon"):
        certify(confidences, losses, LEVELS, 0.05, 0.1, horizon=100)


@given(st.integers(1, 500), st.floats(0, 1), st.floats(0.01, 0.99))
def test_the_p_value_is_one_and_is_1_at_the_limit(n: int, mean: float, alpha: float) -> None:
    p = hoeffding_bentkus(mean, n, alpha)
    assert 0.0 <= p <= 1.0
    assert p == 1.0 or mean < alpha


@given(st.lists(st.tuples(st.floats(0, 1), st.sampled_from([0.0, 1.0])), min_size=1, max_size=40), st.data())
def test_a_weaker_promise_is_never_stricter(rows: list[tuple[float, float]], data: st.DataObject) -> None:
    confidences, losses = [row[0] for row in rows], [row[1] for row in rows]
    low, high = sorted(data.draw(st.lists(st.floats(0.01, 0.9), min_size=2, max_size=2)))
    strict, loose = (certify(confidences, losses, confidences, alpha, 0.1) for alpha in (low, high))
    assert strict.threshold >= loose.threshold
    assert strict.stricter >= strict.threshold
    assert loose.loss == sum(loss for confidence, loss in rows if confidence >= loose.threshold)


@pytest.mark.parametrize("horizon", [None, 100])
def test_the_promise_is_kept(horizon: int | None) -> None:
    """Risk at threshold t is (1 - t)² / 2; measured in expectation, or on the next 100 rows."""
    chance = random.Random(1)

    def rows(count: int) -> list[tuple[float, float]]:
        drawn = [chance.random() for _ in range(count)]
        return [(confidence, float(chance.random() < 1 - confidence)) for confidence in drawn]

    broken = 0
    for _ in range(150):
        seen = rows(100)
        found = certify(
            [row[0] for row in seen], [row[1] for row in seen], LEVELS, 0.1, 0.1, horizon=horizon, coin=chance.random()
        )
        if horizon is None:
            broken += (1 - min(1.0, found.threshold)) ** 2 / 2 > 0.1
        else:
            lost = sum(loss for confidence, loss in rows(horizon) if confidence >= found.threshold)
            broken += lost > 0.1 * horizon
    assert lower_bound(broken, 150, 0.01) <= 0.1


def test_drift_is_told_from_noise() -> None:
    edges = [0.25, 0.5, 0.75]
    then = shares([0.1, 0.3, 0.6, 0.8], edges)
    assert then == (0.25, 0.25, 0.25, 0.25)
    assert stability_index(then, then) == 0.0
    assert stability_index(then, shares([0.75, 0.9, 0.99, 0.1], edges)) > DRIFT_PSI


@pytest.mark.parametrize(
    ("psi", "age_s", "alarms"),
    [(0.2, 60.0, ()), (0.21, 60.0, ("drift",)), (0.0, 61.0, ("stale",)), (1.0, 61.0, ("drift", "stale"))],
    ids=["fresh", "drift", "stale", "both"],
)
def test_a_promise_that_no_longer_holds_gets_stricter(psi: float, age_s: float, alarms: tuple[str, ...]) -> None:
    certificate = certify([0.9] * 100 + [0.5] * 100, [0.0] * 100 + [1.0] * 3 + [0.0] * 97, [0.2, 0.8], 0.05, 0.1)
    assert (certificate.threshold, certificate.stricter) == (0.2, 0.8)
    expected = certificate.stricter if alarms else certificate.threshold
    assert in_force(certificate, psi=psi, age_s=age_s, longest_age_s=60.0) == InForce(expected, alarms)
