"""Learning which prompts need the strong model from nothing but the answers that were served. docs/routing.md.

Two linear heads over hashed words, pairs and surface features, one per tier, each trained on its own served answers by
averaged SGD on the log loss, weighted by 1 / propensity. Chance is passed in; knows no clock and no prices.
"""

from array import array
from dataclasses import dataclass
from math import exp, sqrt

import msgspec

from routing.features import Features

_SURFACE_RATE = 1 / 3
"""Of the rate for grams: surface features are few, in every prompt, and all of one sign."""
_LEAN = 20.0
"""Of the explored share, per unit of the spend's error."""


@dataclass(frozen=True, slots=True)
class ExploreRules:
    """ε falls as √(half / requests), from 1 to `least`: early on every answer teaches, later hardly any need to."""

    half: float = 500.0
    """Requests up to which everything is explored."""
    least: float = 0.01
    strong_share: float = 0.5
    """Of explored requests, how many the strong model gets: about what the budget pays for."""

    def __post_init__(self) -> None:
        if self.half < 0.0 or not 0.0 <= self.least <= 1.0 or not 0.0 < self.strong_share < 1.0:
            raise ValueError(f"{self} explores nothing that could be learnt from")

    def epsilon(self, requests: int) -> float:
        """The share explored after so many requests."""
        return 1.0 if requests <= self.half else max(self.least, sqrt(self.half / requests))

    def share(self, error: float) -> float:
        """The strong model's share of what is explored, after a spend that is off by `error` (`SpendBalance`).

        It leans against the error by up to half: while most requests are explored, λ alone could not hold the spend.
        Propensities stay true, as nothing of the prompt goes into it.
        """
        lean = min(max(_LEAN * error, -0.5), 0.5)
        return min(self.strong_share * (1.0 - lean), 1.0 - (1.0 - self.strong_share) / 2)


class Choice(msgspec.Struct, frozen=True):
    """Which of two tiers serves a request, and how probable that was."""

    strong: bool
    propensity: float
    explored: bool


def choose(*, wants_strong: bool, epsilon: float, strong_share: float, chance: float) -> Choice:
    """The policy's wish, or with probability `epsilon` a draw. `chance`: uniform in [0, 1), logged for replay."""
    explored = chance < epsilon
    strong = chance < epsilon * strong_share if explored else wants_strong
    drawn = epsilon * (strong_share if strong else 1.0 - strong_share)
    return Choice(strong, drawn + (1.0 - epsilon if strong == wants_strong else 0.0), explored)


class Head:
    """P(a tier's answer is right | prompt), as the average of all weights that SGD went through."""

    __slots__ = ("_gram_lag", "_grams", "_mask", "_rate", "_steps", "_surface", "_surface_lag")

    def __init__(self, surface: int, *, bits: int = 17, rate: float = 0.25) -> None:
        """`surface`: how many surface features; `bits`: 2^bits weights for hashed grams; `rate`: constant."""
        size = 1 << bits
        self._mask = size - 1
        self._rate = rate
        self._steps = 0
        self._grams = array("d", bytes(8 * size))
        self._gram_lag = array("d", bytes(8 * size))
        self._surface = [0.0] * (surface + 1)
        self._surface_lag = [0.0] * (surface + 1)

    def probability(self, features: Features) -> float:
        """In (0, 1); 0.5 before anything was learnt."""
        if not self._steps:
            return 0.5
        places, scale = self._places(features)
        grams, lag, part = self._grams, self._gram_lag, 1.0 / self._steps
        total = scale * sum([grams[at] - part * lag[at] for at in places])
        for at, value in enumerate((*features.surface, 1.0)):
            total += (self._surface[at] - part * self._surface_lag[at]) * value
        return _probability(total)

    def learn(self, features: Features, score: float, weight: float) -> None:
        """One step towards `score`, in [0, 1]: a soft label. `weight`: how many requests it stands for."""
        places, scale = self._places(features)
        grams, lag, surface = self._grams, self._gram_lag, (*features.surface, 1.0)
        total = scale * sum([grams[at] for at in places])
        total += sum([mine * value for mine, value in zip(self._surface, surface, strict=True)])
        move = self._rate * weight * (score - _probability(total))
        for at in places:
            grams[at] += scale * move
            lag[at] += scale * move * self._steps
        move *= _SURFACE_RATE
        for at, value in enumerate(surface):
            self._surface[at] += move * value
            self._surface_lag[at] += move * value * self._steps
        self._steps += 1

    def _places(self, features: Features) -> tuple[list[int], float]:
        mask = self._mask
        return [gram & mask for gram in features.grams], 1.0 / sqrt(len(features.grams) or 1)


def _probability(log_odds: float) -> float:
    return 1.0 / (1.0 + exp(-min(max(log_odds, -30.0), 30.0)))


class GainLearner:
    """The gain of asking the strong model instead of the weak one: P(strong right) - P(weak right), in (-1, 1)."""

    __slots__ = ("_heaviest", "_strong", "_weak")

    def __init__(self, surface: int, *, bits: int = 17, rate: float = 0.25, heaviest: float = 10.0) -> None:
        """`heaviest`: the most that one row may weigh; beyond it a little bias buys much less variance."""
        self._weak = Head(surface, bits=bits, rate=rate)
        self._strong = Head(surface, bits=bits, rate=rate)
        self._heaviest = heaviest

    def gain(self, features: Features) -> float:
        """The expected difference in score."""
        return self._strong.probability(features) - self._weak.probability(features)

    def learn(self, features: Features, choice: Choice, score: float) -> None:
        """The score, in [0, 1], of the one answer that was served."""
        head = self._strong if choice.strong else self._weak
        head.learn(features, score, min(self._heaviest, 1.0 / choice.propensity))
