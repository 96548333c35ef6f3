"""Calibration: from a score that ranks answers to a probability that means what it says, per slice of the traffic.

A probability p enters as log(1 - p) and log(-log p), clipped to [e^-30, 1 - 1e-9], which spreads out both of its ends
(Zellinger and Thomson, arXiv 2502.09054); a logistic map of the two is fitted with a weak pull to zero. Invariant: a
higher p never maps to a lower probability. Pure Python, fixed order of summation.
"""

from collections.abc import Mapping, Sequence
from math import exp, fsum, inf, log, log1p

import msgspec

LEAST, MOST = exp(-30.0), 1.0 - 1e-9
HALFWAY = 100
"""Labels at which a slice's own map weighs as much as the map over everything."""
_HALVINGS = 30
_NO_GAIN = 1e-10
"""A step that lowers the loss by less is the last one."""
_USED = ((0, 1, 2), (0, 1), (0, 2), (0,))
"""Which of bias and the two terms a map may use."""

Terms = tuple[float, float, float]


def terms_of(p: float) -> Terms:
    """1, log(1 - p) and log(-log p) of `p` in [0, 1], clipped; the last two fall as p rises."""
    p = min(MOST, max(LEAST, p))
    return 1.0, log1p(-p), log(-log(p))


def sigmoid(logit: float) -> float:
    """1 / (1 + e^-logit), without overflow."""
    if logit >= 0:
        return 1.0 / (1.0 + exp(-logit))
    small = exp(logit)
    return small / (1.0 + small)


class Calibration(msgspec.Struct, frozen=True):
    """One logistic map. Raises `ValueError` if it could fall."""

    weights: Terms
    """Of 1, log(1 - p) and log(-log p); the last two at most 0."""
    rows: int
    """Labels it was fitted on."""

    def __post_init__(self) -> None:
        if self.weights[1] > 0 or self.weights[2] > 0:
            raise ValueError(f"calibration: weights {self.weights} would make a better score worse")

    def logit(self, p: float) -> float:
        """Log-odds of being right at a score of `p`."""
        (bias, first, second), (_, left, right) = self.weights, terms_of(p)
        return bias + (first * left + second * right)

    def probability(self, p: float) -> float:
        return sigmoid(self.logit(p))


class SlicedCalibration(msgspec.Struct, frozen=True):
    """A map over everything and one per slice (tier and task cluster), which counts the more the more labels it has."""

    overall: Calibration
    slices: Mapping[str, Calibration] = {}

    def probability(self, p: float, name: str | None = None) -> float:
        """Of being right at a score of `p` in slice `name`; a slice without labels is like everything."""
        logit = self.overall.logit(p)
        own = self.slices.get(name) if name is not None else None
        if own is not None:
            weight = own.rows / (own.rows + HALFWAY)
            logit = weight * own.logit(p) + (1.0 - weight) * logit
        return sigmoid(logit)


def fit_sliced(
    scores: Sequence[float], labels: Sequence[float], names: Sequence[str], *, l2: float = 1e-2
) -> SlicedCalibration:
    """A map over all rows and one for every slice in `names`, by `fit_calibration`."""
    rows: dict[str, list[int]] = {}
    for at, name in enumerate(names):
        rows.setdefault(name, []).append(at)
    slices = {
        name: fit_calibration([scores[at] for at in which], [labels[at] for at in which], l2=l2)
        for name, which in sorted(rows.items())
    }
    return SlicedCalibration(fit_calibration(scores, labels, l2=l2), slices)


def fit_calibration(scores: Sequence[float], labels: Sequence[float], *, l2: float = 1e-2) -> Calibration:
    """The map of least log loss. `scores` and `labels` in [0, 1]; a label of 0.7 is 0.7 of right and 0.3 of wrong.

    `l2` / 2 times the squared weights are added to the summed loss, so that perfect separation stays finite. A term
    that would make the map fall is left out. Raises `ValueError` for no rows, or labels of another number.
    """
    if not scores or len(scores) != len(labels):
        raise ValueError(f"calibration: {len(scores)} scores and {len(labels)} labels; give as many, at least one")
    rows = [terms_of(score) for score in scores]
    best, least = (0.0, 0.0, 0.0), inf
    for used in _USED:
        weights = _newton(rows, labels, used, l2)
        loss = _loss(rows, labels, weights, l2)
        if weights[1] <= 0 and weights[2] <= 0 and loss < least:
            best, least = weights, loss
    return Calibration(best, len(rows))


def _newton(rows: Sequence[Terms], labels: Sequence[float], used: Sequence[int], l2: float) -> Terms:
    """Damped Newton steps over the weights in `used`; the others stay 0."""
    weights: Terms = (0.0, 0.0, 0.0)
    loss = _loss(rows, labels, weights, l2)
    while True:
        step = _step(rows, labels, weights, used, l2)
        tried = (_moved(weights, step, used, 0.5**halving) for halving in range(_HALVINGS))
        there = next((each for each in tried if _loss(rows, labels, each, l2) < loss - _NO_GAIN), None)
        if there is None:
            return weights
        weights, loss = there, _loss(rows, labels, there, l2)


def _moved(weights: Terms, step: Sequence[float], used: Sequence[int], share: float) -> Terms:
    moved = list(weights)
    for at, size in zip(used, step, strict=True):
        moved[at] -= share * size
    return moved[0], moved[1], moved[2]


def _loss(rows: Sequence[Terms], labels: Sequence[float], weights: Terms, l2: float) -> float:
    bias, first, second = weights
    total = l2 / 2 * (bias * bias + first * first + second * second)
    for (_, left, right), label in zip(rows, labels, strict=True):
        logit = bias + (first * left + second * right)
        total += max(logit, 0.0) + log1p(exp(-abs(logit))) - label * logit
    return total


def _step(
    rows: Sequence[Terms], labels: Sequence[float], weights: Terms, used: Sequence[int], l2: float
) -> list[float]:
    bias, first, second = weights
    fits = [sigmoid(bias + (first * left + second * right)) for _, left, right in rows]
    slopes = [
        fsum((fit - label) * row[at] for fit, label, row in zip(fits, labels, rows, strict=True)) + l2 * weights[at]
        for at in used
    ]
    curvature = [
        [
            fsum(fit * (1 - fit) * row[one] * row[other] for fit, row in zip(fits, rows, strict=True))
            + (l2 + 1e-9 if one == other else 0.0)
            for other in used
        ]
        for one in used
    ]
    return _solved(curvature, slopes)


def _solved(matrix: list[list[float]], values: list[float]) -> list[float]:
    """x of matrix · x = values, by elimination; the matrix is positive definite."""
    size = len(values)
    rows = [[*row, value] for row, value in zip(matrix, values, strict=True)]
    for at in range(size):
        for below in range(at + 1, size):
            factor = rows[below][at] / rows[at][at]
            rows[below] = [low - factor * high for low, high in zip(rows[below], rows[at], strict=True)]
    found = [0.0] * size
    for at in reversed(range(size)):
        rest = fsum(rows[at][other] * found[other] for other in range(at + 1, size))
        found[at] = (rows[at][size] - rest) / rows[at][at]
    return found
