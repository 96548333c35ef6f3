"""Logistic regression over sparse hashed features, and Platt's calibration: the arithmetic of the fit.

Pure Python, so that the same rows and seed give the same weights with no numeric library in between; twenty thousand
prompts take seconds. Knows nothing of tiers or files.
"""

import math
import random
from array import array
from collections.abc import Sequence
from dataclasses import dataclass

from routing.difficulty import TierWeights, gram_value, sigmoid
from routing.features import SURFACE, Features

_EPSILON = 1e-8
_PULL = 1.0
_HALVINGS = 20


@dataclass(frozen=True, slots=True)
class Training:
    """Settings of the fit. `buckets` is a power of two; `l2` pulls every touched weight to zero at each step."""

    buckets: int = 8192
    epochs: int = 12
    rate: float = 0.2
    l2: float = 1e-5
    seed: int = 0


class _AdaGrad:
    """Weights with a step size of their own each: rare words learn as fast as common ones."""

    def __init__(self, size: int, settings: Training) -> None:
        self.weights = [0.0] * size
        self._squares = [0.0] * size
        self._settings = settings

    def step(self, at: int, gradient: float) -> None:
        pulled = gradient + self._settings.l2 * self.weights[at]
        self._squares[at] += pulled * pulled
        self.weights[at] -= self._settings.rate * pulled / (math.sqrt(self._squares[at]) + _EPSILON)


def fit_weights(rows: Sequence[Features], right: Sequence[bool], settings: Training) -> TierWeights:
    """Fit P(right | features) by AdaGrad on the log loss, one row at a time in a seeded order; uncalibrated."""
    mask, first = settings.buckets - 1, len(SURFACE) + 1
    model = _AdaGrad(first + settings.buckets, settings)
    order = list(range(len(rows)))
    rng = random.Random(settings.seed)
    for _ in range(settings.epochs):
        rng.shuffle(order)
        for index in order:
            _learn(model, rows[index], right[index], mask, first)
    weights = [_as_float32(weight) for weight in model.weights]
    return TierWeights(weights[0], weights[1:first], weights[first:])


def _learn(model: _AdaGrad, row: Features, right: bool, mask: int, first: int) -> None:
    """One step: entry 0 is the bias, then the surface features, then the hash buckets."""
    each = gram_value(len(row.grams))
    entries = [(0, 1.0), *enumerate(row.surface, start=1), *((first + (gram & mask), each) for gram in row.grams)]
    weights = model.weights
    error = sigmoid(sum([weights[at] * value for at, value in entries])) - right
    for at, value in entries:
        model.step(at, error * value)


def _as_float32(value: float) -> float:
    """Rounded as the file stores it, so that a fit scores the same before and after it is written."""
    return array("f", [value])[0]


def calibrate(logits: Sequence[float], right: Sequence[bool], *, steps: int = 30) -> tuple[float, float]:
    """Slope and offset that make `sigmoid(slope * logit + offset)` a probability (Platt 1999), by Newton's method.

    A weak pull towards (1, 0) keeps it finite when the logits separate the labels perfectly.
    """
    at = (1.0, 0.0)
    for _ in range(steps):
        there = _descend(logits, right, at, _newton_step(logits, right, at))
        if there == at:
            break
        at = there
    return at


def _newton_step(logits: Sequence[float], right: Sequence[bool], at: tuple[float, float]) -> tuple[float, float]:
    slope, offset = at
    g_slope, g_offset, h_ss, h_so, h_oo = _PULL * (slope - 1.0), _PULL * offset, _PULL, 0.0, _PULL
    for logit, label in zip(logits, right, strict=True):
        p = sigmoid(slope * logit + offset)
        error, curvature = p - label, p * (1.0 - p)
        g_slope += error * logit
        g_offset += error
        h_ss += curvature * logit * logit
        h_so += curvature * logit
        h_oo += curvature
    determinant = h_ss * h_oo - h_so * h_so
    return (h_oo * g_slope - h_so * g_offset) / determinant, (h_ss * g_offset - h_so * g_slope) / determinant


def _descend(
    logits: Sequence[float], right: Sequence[bool], at: tuple[float, float], step: tuple[float, float]
) -> tuple[float, float]:
    """Go by `step`, halved until the loss falls: a full Newton step overshoots where the sigmoid is flat."""
    loss = _loss(logits, right, at)
    for halving in range(_HALVINGS):
        there = (at[0] - step[0] / 2**halving, at[1] - step[1] / 2**halving)
        if _loss(logits, right, there) < loss:
            return there
    return at


def _loss(logits: Sequence[float], right: Sequence[bool], at: tuple[float, float]) -> float:
    slope, offset = at
    total = _PULL / 2 * ((slope - 1.0) ** 2 + offset**2)
    for logit, label in zip(logits, right, strict=True):
        z = slope * logit + offset
        total += max(z, 0.0) + math.log1p(math.exp(-abs(z))) - label * z
    return total
