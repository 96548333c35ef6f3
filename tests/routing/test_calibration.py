"""Calibration: what was fitted says what happens; a better score never becomes a lower probability."""

import random
from math import exp, log

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from routing.calibration import (
    LEAST,
    MOST,
    Calibration,
    SlicedCalibration,
    fit_calibration,
    fit_sliced,
    sigmoid,
    terms_of,
)
from routing.judging import calibration_error

FLAT = Calibration((0.0, 0.0, 0.0), 100)
RISING = Calibration((0.5, -0.7, -0.4), 100)


def overconfident(rows: int, *, seed: int) -> tuple[list[float], list[float]]:
    """Scores of a model that is right far less often than it says."""
    rng = random.Random(seed)
    scores = [rng.random() ** 0.1 for _ in range(rows)]
    return scores, [float(rng.random() < score**6) for score in scores]


def test_terms_are_clipped_as_published() -> None:
    assert terms_of(0.0) == terms_of(LEAST) == terms_of(exp(-30))
    assert terms_of(1.0) == terms_of(MOST)
    assert terms_of(0.5) == pytest.approx((1.0, log(0.5), log(-log(0.5))))


@pytest.mark.parametrize(("logit", "probability"), [(0, 0.5), (-800, 0), (800, 1), (log(3), 0.75), (-log(3), 0.25)])
def test_sigmoid_does_not_overflow(logit: float, probability: float) -> None:
    assert sigmoid(logit) == pytest.approx(probability)


def test_an_overconfident_score_is_calibrated_on_rows_it_has_not_seen() -> None:
    scores, labels = overconfident(1000, seed=0)
    fresh, happened = overconfident(2000, seed=1)
    fitted = fit_calibration(scores, labels)
    right = [label > 0.5 for label in happened]
    assert calibration_error(fresh, right) > 0.25
    assert calibration_error([fitted.probability(score) for score in fresh], right) < 0.04
    assert fitted.rows == 1000


def test_soft_labels_count_as_shares() -> None:
    fitted = fit_calibration([0.2, 0.2, 0.9, 0.9] * 50, [0.3, 0.3, 0.6, 0.6] * 50, l2=1e-6)
    assert fitted.probability(0.2) == pytest.approx(0.3, abs=1e-3)
    assert fitted.probability(0.9) == pytest.approx(0.6, abs=1e-3)


def test_perfect_separation_stays_finite() -> None:
    fitted = fit_calibration([0.0, 0.1, 0.9, 1.0], [0.0, 0.0, 1.0, 1.0])
    assert 0.0 < fitted.probability(0.0) < 0.2
    assert 0.8 < fitted.probability(1.0) <= 1.0


def test_a_score_that_says_the_opposite_becomes_the_base_rate() -> None:
    fitted = fit_calibration([0.1, 0.2, 0.8, 0.9] * 25, [1.0, 1.0, 0.0, 1.0] * 25, l2=1e-6)
    assert fitted.probability(0.1) == fitted.probability(0.9) == pytest.approx(0.75, abs=1e-3)


@pytest.mark.parametrize(("scores", "labels"), [([], []), ([0.5], [1.0, 0.0])], ids=["none", "unequal"])
def test_rows_that_cannot_be_fitted_are_refused(scores: list[float], labels: list[float]) -> None:
    with pytest.raises(ValueError, match="give as many, at least one"):
        fit_calibration(scores, labels)


@pytest.mark.parametrize("weights", [(0.0, 0.1, 0.0), (0.0, 0.0, 0.1)])
def test_a_map_that_falls_is_refused(weights: tuple[float, float, float]) -> None:
    with pytest.raises(ValueError, match="would make a better score worse"):
        Calibration(weights, 1)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=12), st.floats(0, 1), st.floats(0, 1))
def test_a_fit_never_falls(rows: list[tuple[float, float]], one: float, other: float) -> None:
    fitted = fit_calibration([score for score, _ in rows], [label for _, label in rows])
    low, high = sorted((one, other))
    assert fitted.probability(low) <= fitted.probability(high)


def test_a_slice_counts_the_more_the_more_labels_it_has() -> None:
    own = {name: Calibration((2.0, 0.0, 0.0), rows) for name, rows in (("few", 1), ("half", 100), ("many", 100_000))}
    sliced = SlicedCalibration(FLAT, own)
    assert sliced.probability(0.5) == sliced.probability(0.5, "unheard of") == 0.5
    assert sliced.probability(0.5, "half") == pytest.approx(sigmoid(1.0))
    assert sliced.probability(0.5, "few") == pytest.approx(sigmoid(2 / 101))
    assert sliced.probability(0.5, "many") == pytest.approx(sigmoid(2.0), abs=1e-3)


def test_slices_are_fitted_on_their_own_rows() -> None:
    scores, names = [0.5] * 400, ["easy", "hard"] * 200
    sliced = fit_sliced(scores, [1.0, 0.0] * 200, names)
    assert sliced.overall.rows == 400
    assert [*sliced.slices] == ["easy", "hard"]
    assert sliced.slices["easy"].rows == 200
    assert sliced.probability(0.5, "easy") > 0.9
    assert sliced.probability(0.5, "hard") < 0.1
    assert sliced.probability(0.5) == pytest.approx(0.5)


def test_the_same_rows_give_the_same_bits() -> None:
    scores, labels = overconfident(200, seed=2)
    assert fit_calibration(scores, labels) == fit_calibration(scores, labels)
    assert RISING.probability(0.3) == RISING.probability(0.3)
