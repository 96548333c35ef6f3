"""How hard a prompt is: P(each tier of the ladder answers it well), before anything is generated.

Pure and quick (benchmarks/scoring.py holds the bar: p99 under a millisecond of CPU time). Knows nothing of files,
models or the ladder's order. A prior, no more: on prompts unlike those it was fitted on it is close to a guess.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from operator import mul
from typing import Protocol

from routing.features import SURFACE, Features, features

Scores = Mapping[str, float]
"""Tier → probability in [0, 1]. Empty: nothing is known about this prompt. A tier may be missing."""

_LARGEST_LOGIT = 30.0


class Difficulty(Protocol):
    """Scores prompts."""

    def score(self, text: str) -> Scores:
        """P(each fitted tier answers `text` well)."""
        ...


@dataclass(frozen=True, slots=True)
class FixedDifficulty:
    """The same scores for every prompt; by default none, with which a policy starts at its stated default tier."""

    scores: Scores = field(default_factory=dict)

    def score(self, text: str) -> Scores:
        """See `Difficulty.score`."""
        return self.scores


@dataclass(frozen=True, slots=True)
class TierWeights:
    """Logistic regression for one tier, and the Platt calibration (`slope`, `offset`) of its logit.

    `surface`: one weight per surface feature, or a ValueError; `buckets`: one per bucket, a power of two of them.
    """

    bias: float
    surface: Sequence[float]
    buckets: Sequence[float]
    slope: float = 1.0
    offset: float = 0.0

    def __post_init__(self) -> None:
        if len(self.surface) != len(SURFACE):
            raise ValueError(f"{len(self.surface)} surface weights for {len(SURFACE)} surface features")

    def logit(self, given: Features) -> float:
        """The uncalibrated logit. Sums are exactly rounded, so the same file gives the same bits everywhere."""
        buckets, grams = self.buckets, given.grams
        mask = len(buckets) - 1
        hashed = math.fsum([buckets[gram & mask] for gram in grams])
        plain = math.fsum(map(mul, self.surface, given.surface))
        return self.bias + plain + gram_value(len(grams)) * hashed

    def probability(self, given: Features) -> float:
        """The calibrated probability that the tier answers well."""
        return sigmoid(self.slope * self.logit(given) + self.offset)


@dataclass(frozen=True, slots=True)
class LinearDifficulty:
    """A fitted score: one logistic regression per tier over the same features (routing/fit.py fits it)."""

    version: str
    tiers: Mapping[str, TierWeights]
    threshold: float
    """The threshold the fit recommends to `LadderPolicy`."""

    def score(self, text: str) -> Scores:
        """See `Difficulty.score`."""
        given = features(text)
        return {tier: weights.probability(given) for tier, weights in self.tiers.items()}


def gram_value(count: int) -> float:
    """The value of each of `count` distinct grams: together they are a vector of length one."""
    return 1.0 / math.sqrt(count) if count else 0.0


def sigmoid(logit: float) -> float:
    """1 / (1 + e^-logit), with the logit clipped to ±30 so that it never overflows."""
    if not -_LARGEST_LOGIT < logit < _LARGEST_LOGIT:
        logit = -_LARGEST_LOGIT if logit < 0.0 else _LARGEST_LOGIT
    return 1.0 / (1.0 + math.exp(-logit))
