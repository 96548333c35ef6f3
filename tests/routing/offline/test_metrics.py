"""The metrics of docs/routing.md, on cases whose answer is known."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.offline.metrics import (
    Points,
    area_to_one,
    auroc,
    bootstrap,
    calibration_error,
    curve,
    hull_area,
    mean_of,
    untied,
    upper_hull,
)

ROWS = 4000
RNG = np.random.default_rng(7)
WEAK = (RNG.random(ROWS) < 0.6).astype(float)
STRONG = (RNG.random(ROWS) < 0.9).astype(float)


def test_random_routing_recovers_as_much_as_it_sends() -> None:
    found = curve(WEAK, STRONG, RNG.random(ROWS))
    assert found.apgr == pytest.approx(0.5, abs=0.05)
    assert found.cpt(50) == pytest.approx(50, abs=6)
    assert found.share[[0, -1]] == pytest.approx([0, 1], abs=1e-3)


def test_an_oracle_beats_the_strong_model_and_its_opposite_is_below_random() -> None:
    gain = STRONG - WEAK
    assert curve(WEAK, STRONG, gain).quality.max() > STRONG.mean()
    assert curve(WEAK, STRONG, gain).apgr > 0.9
    assert curve(WEAK, STRONG, -gain).apgr < 0.2
    assert curve(WEAK, STRONG, gain).cpt(100) < 50


def test_a_curve_that_never_gets_there_has_no_share() -> None:
    weak, strong = np.array([0.0, 1.0]), np.array([1.0, 1.0])
    assert np.isnan(curve(weak, strong, np.array([1.0, 0.0])).cpt(101))
    assert curve(weak, strong, np.array([1.0, 0.0])).cpt(0) == 0.0


def test_without_a_gap_there_is_no_curve() -> None:
    with pytest.raises(ValueError, match="no gap"):
        curve(STRONG, WEAK, WEAK)


@given(st.lists(st.integers(0, 5), min_size=1, max_size=50), st.integers(0, 9))
def test_untied_keeps_every_order_that_there_is(values: list[int], seed: int) -> None:
    ranks = untied(np.array(values, float), seed=seed)
    assert len(set(ranks)) == len(values)
    assert all(ranks[a] < ranks[b] for a in range(len(values)) for b in range(len(values)) if values[a] < values[b])


def test_two_models_at_random_have_half_the_area() -> None:
    nothing = Points(np.array([]), np.array([]))
    assert hull_area(nothing, weak=(1.0, 0.4), strong=(3.0, 0.8)) == pytest.approx(0.5)
    middle = Points(np.array([2.0]), np.array([0.6]))
    assert hull_area(middle, weak=(1.0, 0.4), strong=(3.0, 0.8)) == pytest.approx(0.5)
    free = Points(np.array([1.0, 5.0]), np.array([0.8, 0.9]))
    assert hull_area(free, weak=(1.0, 0.4), strong=(3.0, 0.8)) == pytest.approx(1.0, abs=0.1)


def test_what_is_below_the_hull_changes_nothing() -> None:
    one = Points(np.array([1.5]), np.array([0.7]))
    two = Points(np.array([1.5, 2.9, 1.6]), np.array([0.7, 0.5, 0.65]))
    ends = {"weak": (1.0, 0.4), "strong": (3.0, 0.8)}
    assert hull_area(one, **ends) == hull_area(two, **ends)


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=30))
def test_no_point_lies_above_the_hull(points: list[tuple[float, float]]) -> None:
    x, y = np.array(points).T
    corners = upper_hull(x, y)
    assert all(a <= b for a, b in zip(x[corners], x[corners][1:], strict=False))
    for at in range(len(x)):
        assert y[at] <= np.interp(x[at], x[corners], y[corners]) + 1e-9


def test_a_line_that_ends_early_stays_level() -> None:
    assert area_to_one(np.array([0.0, 0.5]), np.array([0.0, 1.0])) == pytest.approx(0.75)


def test_auroc_counts_ties_half() -> None:
    assert auroc(np.array([0.1, 0.2, 0.3]), np.array([False, False, True])) == 1.0
    assert auroc(np.array([0.5, 0.5]), np.array([False, True])) == 0.5
    assert auroc(np.array([0.9, 0.1]), np.array([False, True])) == 0.0
    assert np.isnan(auroc(np.array([0.9, 0.1]), np.array([True, True])))
    assert np.isnan(auroc(np.array([0.9, 0.1]), np.array([False, False])))


def test_calibration_error_is_the_gap_of_each_bin() -> None:
    assert calibration_error(np.array([0.05, 0.95, 1.0]), np.array([0.0, 1.0, 1.0])) == pytest.approx(0.1 / 3)


def test_an_interval_holds_the_mean_it_is_of() -> None:
    low, high = bootstrap(lambda chosen: float(WEAK[chosen].mean()), ROWS, seed=1)
    assert low < WEAK.mean() < high
    assert high - low < 0.05
    assert bootstrap(lambda chosen: float(WEAK[chosen].mean()), ROWS, seed=1) == (low, high)


def test_mean() -> None:
    assert mean_of([1.0, 2.0]) == 1.5
