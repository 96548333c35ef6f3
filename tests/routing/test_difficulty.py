"""Scores: arithmetic, determinism, and the null object."""

import math
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.difficulty import FixedDifficulty, LinearDifficulty, TierWeights, gram_value, sigmoid
from routing.features import SURFACE, Features, features

NO_SURFACE = [0.0] * len(SURFACE)

SCORED = """
from routing.difficulty import LinearDifficulty, TierWeights
from routing.features import SURFACE
weights = TierWeights(0.1, [0.3] * len(SURFACE), [((n * 37) % 101 - 50) / 50 for n in range(256)], 0.9, -0.2)
print(LinearDifficulty("t", {"small": weights}, 0.5).score("What is 37 + 80, and why?")["small"].hex())
"""


def test_logit_is_bias_plus_surface_plus_normed_grams() -> None:
    weights = TierWeights(0.5, [2.0, *NO_SURFACE[1:]], [1.0, 10.0, 100.0, 1000.0])
    given_features = Features((0.25, *NO_SURFACE[1:]), (1, 2, 5, 7))
    assert weights.logit(given_features) == pytest.approx(0.5 + 2.0 * 0.25 + (10 + 100 + 10 + 1000) / 2)


def test_weights_for_other_surface_features_are_refused() -> None:
    with pytest.raises(ValueError, match="1 surface weights for 10 surface features"):
        TierWeights(0.0, [0.0], [0.0])


def test_calibration_is_applied_to_the_logit() -> None:
    weights = TierWeights(2.0, NO_SURFACE, [0.0], slope=3.0, offset=-5.0)
    assert weights.probability(features("hello")) == pytest.approx(sigmoid(1.0))


def test_every_fitted_tier_is_scored() -> None:
    tiers = {"small": TierWeights(-1.0, NO_SURFACE, [0.0]), "large": TierWeights(1.0, NO_SURFACE, [0.0])}
    scores = LinearDifficulty("t", tiers, 0.5).score("hello")
    assert scores == {"small": sigmoid(-1.0), "large": sigmoid(1.0)}


@pytest.mark.parametrize("scores", [{}, {"small": 0.25}], ids=["nothing known", "one tier"])
def test_fixed_scores_do_not_depend_on_the_prompt(scores: dict[str, float]) -> None:
    fixed = FixedDifficulty(scores)
    assert fixed.score("easy") == fixed.score("hard") == scores


def test_fixed_scores_are_empty_by_default() -> None:
    assert FixedDifficulty().score("anything") == {}


def test_the_same_text_scores_the_same_bits_in_every_process() -> None:
    """Whatever the seed of Python's own hash."""
    runs = {
        subprocess.run(
            [sys.executable, "-c", SCORED], env={"PYTHONHASHSEED": seed}, check=True, capture_output=True, text=True
        ).stdout
        for seed in ("1", "2")
    }
    assert len(runs) == 1


@given(st.text(st.characters(), max_size=400), st.floats(-1e6, 1e6), st.floats(-1e6, 1e6))
def test_scores_are_probabilities(text: str, bias: float, weight: float) -> None:
    weights = TierWeights(bias, [weight] * len(SURFACE), [weight] * 16)
    assert 0.0 < weights.probability(features(text)) < 1.0


def test_sigmoid_never_overflows() -> None:
    assert sigmoid(1e308) == sigmoid(30.0) < 1.0
    assert sigmoid(-1e308) == sigmoid(-30.0) > 0.0


def test_grams_make_a_vector_of_length_one() -> None:
    assert math.sqrt(7 * gram_value(7) ** 2) == pytest.approx(1.0)
    assert gram_value(0) == 0.0
