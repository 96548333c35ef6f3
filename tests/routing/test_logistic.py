"""The fit's arithmetic: it learns what can be learnt, repeatably, and its probabilities are honest."""

import random

import pytest

from routing.difficulty import sigmoid
from routing.features import features
from routing.logistic import Training, calibrate, fit_weights

EASY = [f"add {n} and {n + 1}" for n in range(10, 60)]
HARD = [f"integrate {n} over {n + 1}" for n in range(10, 60)]
ROWS = [features(text) for text in (*EASY, *HARD)]
RIGHT = [True] * len(EASY) + [False] * len(HARD)
QUICK = Training(buckets=256, epochs=3)


def test_learns_which_words_are_easy() -> None:
    weights = fit_weights(ROWS, RIGHT, QUICK)
    assert weights.probability(features("add 71 and 72")) > 0.9
    assert weights.probability(features("integrate 71 over 72")) < 0.1


def test_the_same_rows_and_seed_give_the_same_weights() -> None:
    assert fit_weights(ROWS, RIGHT, QUICK) == fit_weights(ROWS, RIGHT, QUICK)


def test_another_seed_gives_another_order() -> None:
    assert fit_weights(ROWS, RIGHT, QUICK) != fit_weights(ROWS, RIGHT, Training(buckets=256, epochs=3, seed=1))


def test_calibration_undoes_a_stretched_logit() -> None:
    rng = random.Random(0)
    true = [rng.uniform(-3, 3) for _ in range(5000)]
    right = [rng.random() < sigmoid(logit) for logit in true]
    slope, offset = calibrate([4 * logit + 2 for logit in true], right)
    assert slope == pytest.approx(0.25, abs=0.03)
    assert offset == pytest.approx(-0.5, abs=0.15)


def test_calibration_of_separated_labels_stays_finite() -> None:
    slope, offset = calibrate([-2.0, -1.0, 1.0, 2.0], [False, False, True, True])
    assert 0 < slope < 10
    assert offset == pytest.approx(0.0, abs=0.1)


def test_calibration_stops_after_its_steps() -> None:
    logits, right = [-2.0, -1.0, 1.0, 2.0, 0.5], [False, True, True, True, False]
    assert calibrate(logits, right, steps=0) == (1.0, 0.0)
    assert calibrate(logits, right, steps=1) != calibrate(logits, right)
