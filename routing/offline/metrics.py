"""Metrics of routers and cascades over recorded outcomes, as published work defines them. Arrays in, numbers out.

Definitions: RouteLLM (arXiv 2406.18665) for the curve, APGR and CPT; cascade routing (arXiv 2410.10347) for curves of
cost and quality; docs/routing.md for what differs here and why. Costs in USD, scores in [0, 1]; a learned score must be
out of fold. Ties are broken by seeded noise.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

CURVE_POINTS = 11
"""Thresholds at the 0, 10, …, 100 % quantiles, as RouteLLM has them."""
RESAMPLES = 200
"""Of a bootstrap over prompts."""


@dataclass(frozen=True, slots=True)
class Curve:
    """Quality over the share of calls that go to the strong model, in order of that share."""

    share: Floats
    quality: Floats
    weak: float
    strong: float
    """Mean scores of always-weak and always-strong."""

    @property
    def apgr(self) -> float:
        """Average performance gap recovered: 0.5 for random routing, 1 for strong quality at any share."""
        area = float(np.trapezoid(self.quality - self.weak, self.share))
        return area / ((self.strong - self.weak) * float(self.share[-1] - self.share[0]))

    def cpt(self, percent: float) -> float:
        """Call-performance threshold: the least share of strong calls, in %, that recovers `percent` of the gap.

        The first crossing, linear between points; NaN when the curve never gets there.
        """
        target = self.weak + percent / 100 * (self.strong - self.weak)
        share, quality = self.share, self.quality
        for at in range(1, len(share)):
            low, high = quality[at - 1], quality[at]
            if low < target <= high:
                return float(100 * (share[at - 1] + (target - low) / (high - low) * (share[at] - share[at - 1])))
        return 100 * float(share[0]) if quality[0] >= target else float("nan")


def curve(weak: Floats, strong: Floats, need: Floats, *, seed: int = 0) -> Curve:
    """The curve of a router. `weak`, `strong`: (rows,) scores; `need`: (rows,) the higher, the more the strong one.

    Raises `ValueError` unless the strong model is the better one: there is no gap to recover then.
    """
    if strong.mean() <= weak.mean():
        raise ValueError(f"the strong model scores {strong.mean():.4f}, the weak one {weak.mean():.4f}: no gap")
    need = untied(need, seed=seed)
    thresholds = np.quantile(need, np.linspace(0, 1, CURVE_POINTS))
    sent = [need >= threshold for threshold in thresholds[:-1]] + [need > thresholds[-1]]
    points = sorted((float(to.mean()), float(np.where(to, strong, weak).mean())) for to in sent)
    share, quality = np.array(points).T
    return Curve(share, quality, float(weak.mean()), float(strong.mean()))


def untied(values: Floats, *, seed: int) -> Floats:
    """`values` with equal ones put into a random order, and all others left in theirs: their ranks in [0, 1)."""
    order = np.lexsort((np.random.default_rng(seed).random(len(values)), values))
    ranks = np.empty(len(values))
    ranks[order] = np.arange(len(values)) / len(values)
    return ranks


@dataclass(frozen=True, slots=True)
class Points:
    """Operating points: mean cost, USD, and mean quality of each, in any order."""

    cost: Floats
    quality: Floats


def hull_area(points: Points, *, weak: tuple[float, float], strong: tuple[float, float]) -> float:
    """Normalised area under the upper concave hull of `points`, with always-weak and always-strong among them.

    `weak`, `strong`: (mean cost, mean quality). Cost and quality are scaled so that these two are (0, 0) and (1, 1);
    what costs more than the strong model is cut. Two models at random: 0.5.
    """
    x = np.concatenate([[0.0, 1.0], (points.cost - weak[0]) / (strong[0] - weak[0])])
    y = np.concatenate([[0.0, 1.0], (points.quality - weak[1]) / (strong[1] - weak[1])])
    corners = upper_hull(x, y)
    return area_to_one(x[corners], y[corners])


def upper_hull(x: Floats, y: Floats) -> list[int]:
    """Indices of the corners of the upper concave hull, from the least `x` up to the greatest `y`."""
    order = sorted(range(len(x)), key=lambda at: (x[at], -y[at]))
    corners: list[int] = []
    for at in order:
        if corners and y[at] <= y[corners[-1]]:
            continue  # dearer and no better
        while len(corners) > 1 and _below(x, y, corners[-2], corners[-1], at):
            corners.pop()
        corners.append(at)
    return corners


def _below(x: Floats, y: Floats, first: int, middle: int, last: int) -> bool:
    """Is `middle` on or below the line from `first` to `last`?"""
    return bool((y[middle] - y[first]) * (x[last] - x[first]) <= (y[last] - y[first]) * (x[middle] - x[first]))


def area_to_one(x: Floats, y: Floats) -> float:
    """The area under the line through (x, y), `x` ascending, over [0, 1]; beyond its last corner it stays level."""
    grid = np.unique(np.concatenate([np.clip(x, 0, 1), [0.0, 1.0]]))
    return float(np.trapezoid(np.interp(grid, x, y), grid))


def auroc(score: Floats, label: NDArray[np.bool_]) -> float:
    """P(a true row scores above a false one), ties counted half; NaN when all labels are alike."""
    if label.all() or not label.any():
        return float("nan")
    _, place, counts = np.unique(score, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[place]  # mean rank of ties, from 1
    true = int(label.sum())
    return float((ranks[label].sum() - true * (true + 1) / 2) / (true * (len(label) - true)))


def calibration_error(probability: Floats, label: Floats, *, bins: int = 10) -> float:
    """Expected calibration error over equal bins of [0, 1], the last one closed."""
    place = np.minimum((probability * bins).astype(int), bins - 1)
    gaps = np.bincount(place, weights=label - probability, minlength=bins)
    return float(np.abs(gaps).sum() / len(probability))


def bootstrap(
    statistic: Callable[[NDArray[np.int64]], float], rows: int, *, seed: int = 0, resamples: int = RESAMPLES
) -> tuple[float, float]:
    """95 % percentile interval of `statistic`, which is given the indices of a resample of `rows` prompts."""
    rng = np.random.default_rng(seed)
    values = [statistic(rng.integers(0, rows, rows)) for _ in range(resamples)]
    low, high = np.nanpercentile(values, [2.5, 97.5])
    return float(low), float(high)


def mean_of(values: Sequence[float]) -> float:
    """Of at least one."""
    return sum(values) / len(values)
