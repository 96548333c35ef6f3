"""How good a score is: AUROC, calibration error, and what a threshold makes of a ladder.

Pure arithmetic over lists. Knows nothing of features, files or how the scores came about.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

_BINS = 10


def auroc(scores: Sequence[float], right: Sequence[bool]) -> float:
    """P(a right row scores above a wrong one), ties counted half; NaN when all rows are alike."""
    wins, wrong_below, rights = 0.0, 0, 0
    ranked = sorted(zip(scores, right, strict=True))
    for _, tied in groupby(ranked, key=lambda pair: pair[0]):
        labels = [label for _, label in tied]
        good = sum(labels)
        wins += good * (wrong_below + (len(labels) - good) / 2)
        wrong_below += len(labels) - good
        rights += good
    return wins / (rights * wrong_below) if rights and wrong_below else float("nan")


def calibration_error(scores: Sequence[float], right: Sequence[bool]) -> float:
    """Expected calibration error over ten equal bins: the mean of |share right - mean score|, weighted by rows."""
    gaps = [0.0] * _BINS
    for score, label in zip(scores, right, strict=True):
        gaps[min(_BINS - 1, int(score * _BINS))] += label - score
    return sum(map(abs, gaps)) / len(scores)


@dataclass(frozen=True, slots=True)
class Ladder:
    """What starting at the cheapest tier that scores at least `threshold` gives, with nothing tried after it."""

    threshold: float
    accuracy: float
    """Share right among the prompts that start at a fitted tier; NaN when there are none."""
    share: Mapping[str, float]
    """Share of prompts that start at each tier; `beyond`: no fitted tier reaches the threshold."""


BEYOND = "beyond"


def judge_ladder(
    scores: Sequence[Mapping[str, float]], right: Sequence[Mapping[str, bool]], tiers: Sequence[str], threshold: float
) -> Ladder:
    """Judge one threshold. `tiers`: from cheapest to dearest."""
    starts = [next((tier for tier in tiers if row[tier] >= threshold), BEYOND) for row in scores]
    kept = [labels[start] for labels, start in zip(right, starts, strict=True) if start != BEYOND]
    accuracy = sum(kept) / len(kept) if kept else float("nan")
    share = {tier: starts.count(tier) / len(starts) for tier in (*tiers, BEYOND)}
    return Ladder(threshold, accuracy, share)


def choose_threshold(
    scores: Sequence[Mapping[str, float]], right: Sequence[Mapping[str, bool]], tiers: Sequence[str], target: float
) -> Ladder:
    """The lowest (cheapest) of 5 %, 10 %, … 95 % at which prompts kept on the ladder are right `target` of the time.

    Where none reaches it, the one that comes closest.
    """
    judged = [judge_ladder(scores, right, tiers, percent / 100) for percent in range(5, 100, 5)]
    reached = [ladder for ladder in judged if ladder.accuracy >= target]
    return reached[0] if reached else max(judged, key=lambda ladder: (ladder.accuracy > 0, ladder.accuracy))
