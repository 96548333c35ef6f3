"""Figures of a score, against values worked out by hand."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.judging import BEYOND, auroc, calibration_error, choose_threshold, judge_ladder

TIERS = ("small", "large")


@pytest.mark.parametrize(
    ("scores", "right", "expected"),
    [
        ([0.1, 0.2, 0.8, 0.9], [False, False, True, True], 1.0),
        ([0.9, 0.8, 0.2, 0.1], [False, False, True, True], 0.0),
        ([0.5, 0.5, 0.5], [False, True, True], 0.5),
        ([0.1, 0.4, 0.35, 0.8], [False, False, True, True], 0.75),
    ],
    ids=["perfect", "reversed", "all tied", "one pair wrong of four"],
)
def test_auroc(scores: list[float], right: list[bool], expected: float) -> None:
    assert auroc(scores, right) == pytest.approx(expected)


@pytest.mark.parametrize("right", [[True, True], [False, False], []], ids=["all right", "all wrong", "empty"])
def test_auroc_needs_both_kinds(right: list[bool]) -> None:
    assert math.isnan(auroc([0.5] * len(right), right))


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=2, max_size=30))
def test_auroc_is_the_share_of_pairs_in_order(rows: list[tuple[int, bool]]) -> None:
    rights = [score for score, label in rows if label]
    wrongs = [score for score, label in rows if not label]
    measured = auroc([float(score) for score, _ in rows], [label for _, label in rows])
    if not rights or not wrongs:
        assert math.isnan(measured)
        return
    wins = sum((good > bad) + (good == bad) / 2 for good in rights for bad in wrongs)
    assert measured == pytest.approx(wins / (len(rights) * len(wrongs)))


def test_calibration_error() -> None:
    assert calibration_error([0.8] * 5, [True] * 4 + [False]) == pytest.approx(0.0)
    assert calibration_error([1.0, 1.0], [True, False]) == pytest.approx(0.5)
    assert calibration_error([0.95, 0.05], [False, True]) == pytest.approx(0.95)


SCORES = [
    {"small": 0.9, "large": 0.95},
    {"small": 0.6, "large": 0.9},
    {"small": 0.2, "large": 0.8},
    {"small": 0.1, "large": 0.1},
]
RIGHT = [
    {"small": True, "large": True},
    {"small": False, "large": True},
    {"small": False, "large": True},
    {"small": False, "large": False},
]


def test_a_ladder_starts_at_the_cheapest_tier_that_reaches_the_threshold() -> None:
    ladder = judge_ladder(SCORES, RIGHT, TIERS, 0.7)
    assert ladder.share == {"small": 0.25, "large": 0.5, BEYOND: 0.25}
    assert ladder.accuracy == 1.0


def test_nothing_kept_has_no_accuracy() -> None:
    assert math.isnan(judge_ladder(SCORES, RIGHT, TIERS, 0.99).accuracy)


def test_the_lowest_threshold_that_reaches_the_target_is_chosen() -> None:
    chosen = choose_threshold(SCORES, RIGHT, TIERS, 0.9)
    assert chosen.threshold == pytest.approx(0.65)
    assert judge_ladder(SCORES, RIGHT, TIERS, chosen.threshold - 0.05).accuracy < 0.9


def test_without_one_the_closest_is_chosen() -> None:
    chosen = choose_threshold([{"small": 0.5}, {"small": 0.3}], [{"small": False}, {"small": False}], ("small",), 0.9)
    assert chosen.accuracy == 0.0 or math.isnan(chosen.accuracy)
    right = [{"small": True}, {"small": False}, {"small": False}]
    chosen = choose_threshold([{"small": 0.5}, {"small": 0.5}, {"small": 0.3}], right, ("small",), 0.9)
    assert chosen.accuracy == 0.5
