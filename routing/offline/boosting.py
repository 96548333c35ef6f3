"""Gradient boosted trees over histograms, grown leaf by leaf: arrays in, `Trees` or `Curves` out. Deterministic.

Friedman (2001) with the second-order leaf values of XGBoost (arXiv 1603.02754) and the histograms of LightGBM (2017).
Features are cut into at most `BINS` bins between observed values, of about equal counts; no sampling, no chance.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from routing.trees import LEAF, Curves, Trees

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]

BINS = 64
"""Per feature."""
RIDGE = 1e-3
"""Added to a leaf's curvature, so that an empty one is 0."""
LEAST_GAIN = 1e-12
"""A split that gains no more than rounding does is none."""

Loss = Literal["squared", "log"]


@dataclass(frozen=True, slots=True)
class Binned:
    """Rows as bin numbers, each feature's bins behind those of the one before it."""

    codes: Codes
    """(rows, features)."""
    edges: tuple[Floats, ...]
    """Per feature, ascending: bin b holds what is at most edge b; the last bin has no edge."""

    @classmethod
    def of(cls, x: Floats) -> "Binned":
        """`x`: (rows, features), finite."""
        edges = tuple(_edges(column) for column in x.T)
        columns = [np.searchsorted(cut, column) for cut, column in zip(edges, x.T, strict=True)]
        offsets = np.arange(x.shape[1]) * BINS
        return cls(np.stack(columns, axis=1) + offsets, edges)


def _edges(column: Floats) -> Floats:
    """Middles between neighbouring values, at most `BINS` less one of them, at about equal counts."""
    values = np.unique(column)
    if len(values) > BINS:
        values = np.unique(np.quantile(column, np.linspace(0, 1, BINS), method="nearest"))
    return np.asarray((values[1:] + values[:-1]) / 2, dtype=np.float64)


@dataclass(slots=True)
class _Leaf:
    """A leaf while its tree grows: its rows, their sums per bin, and the best split of it."""

    rows: Codes
    sums: Floats
    """(knots + 2, features · BINS): slopes per knot, curvatures and counts."""
    gain: float
    split: int
    """Of the best split: feature · BINS + bin."""
    left: int = LEAF
    right: int = LEAF

    @property
    def ends(self) -> bool:
        return self.left == LEAF

    def values(self, rate: float) -> Floats:
        """(knots,): what it adds."""
        totals = self.sums[:, :BINS].sum(axis=1)  # the bins of any one feature hold every row
        return np.asarray(-rate * totals[:-2] / (totals[-2] + RIDGE))


@dataclass(frozen=True, slots=True)
class _Growth:
    """How a tree grows."""

    leaves: int
    min_rows: int
    rate: float


def fit_trees(
    x: Floats,
    y: Floats,
    *,
    loss: Loss,
    rounds: int,
    leaves: int,
    rate: float,
    min_rows: int,
    weights: Floats | None = None,
) -> Trees:
    """Trees for `y` (rows,) from `x` (rows, features), all finite.

    `loss` "squared": any `y`; "log": `y` in [0, 1], soft labels allowed, and values are log-odds. `weights`: (rows,),
    at least 0, with a mean above 0. At most `leaves` leaves per tree with at least `min_rows` rows each. Raises
    `ValueError` for arrays that do not fit together.
    """
    growth = _Growth(leaves, min_rows, rate)
    return _boosted(x, y[:, None], loss=loss, rounds=rounds, growth=growth, weights=weights).trees()


def fit_curves(x: Floats, y: Floats, *, rounds: int, leaves: int, rate: float, min_rows: int) -> Curves:
    """Curves for `y` (rows, knots) by squared loss: one structure for all knots, split where they gain most together.

    All else as `fit_trees`.
    """
    growth = _Growth(leaves, min_rows, rate)
    return _boosted(x, y, loss="squared", rounds=rounds, growth=growth, weights=None).curves()


def _boosted(x: Floats, y: Floats, *, loss: Loss, rounds: int, growth: _Growth, weights: Floats | None) -> "_Nodes":
    weight = np.ones(len(y)) if weights is None else weights
    if x.ndim != 2 or len(x) != len(y) or len(weight) != len(y) or not weight.sum() > 0:
        raise ValueError(f"{x.shape} features, {y.shape} values and {weight.shape} weights do not fit together")
    base = weight @ y / weight.sum()
    if loss == "log":
        base = np.clip(base, 1e-6, 1 - 1e-6)
        base = np.log(base / (1 - base))
    binned = Binned.of(x)
    score = np.tile(base, (len(y), 1))
    nodes = _Nodes(base)
    for _ in range(rounds):
        slope, curvature = _derivatives(loss, score, y, weight)
        grown = _grow(binned, slope, curvature, growth)
        nodes.add(binned, grown, growth.rate)
        for leaf in grown:
            if leaf.ends:
                score[leaf.rows] += leaf.values(growth.rate)
    return nodes


def _derivatives(loss: Loss, score: Floats, y: Floats, weight: Floats) -> tuple[Floats, Floats]:
    """(rows, knots) slopes of the loss and (rows,) curvatures."""
    if loss == "squared":
        return weight[:, None] * (score - y), weight
    p = 1 / (1 + np.exp(-score))
    return weight[:, None] * (p - y), weight * (p * (1 - p))[:, 0]


def _grow(binned: Binned, slope: Floats, curvature: Floats, growth: _Growth) -> list[_Leaf]:
    """One tree, its root first: the leaf whose split gains most is split next."""
    every = np.arange(len(slope))
    grown = [_leaf(every, _sums(binned, every, slope, curvature), growth.min_rows)]
    for _ in range(growth.leaves - 1):
        best = max((leaf for leaf in grown if leaf.ends), key=lambda leaf: leaf.gain)
        if best.gain <= LEAST_GAIN:
            break
        goes_left = binned.codes[best.rows, best.split // BINS] <= best.split
        left, right = best.rows[goes_left], best.rows[~goes_left]
        fewer = left if len(left) <= len(right) else right
        sums = _sums(binned, fewer, slope, curvature)
        others = best.sums - sums
        best.left, best.right = len(grown), len(grown) + 1
        grown.append(_leaf(left, sums if fewer is left else others, growth.min_rows))
        grown.append(_leaf(right, sums if fewer is right else others, growth.min_rows))
    return grown


def _leaf(rows: Codes, sums: Floats, min_rows: int) -> _Leaf:
    gains = _gains(sums, min_rows)
    split = int(np.argmax(gains))
    return _Leaf(rows, sums, float(gains[split]), split)


def _sums(binned: Binned, rows: Codes, slope: Floats, curvature: Floats) -> Floats:
    """(knots + 2, features · BINS): slopes per knot, curvatures and counts of `rows` per bin."""
    codes = binned.codes[rows]
    flat, width, size = codes.ravel(), codes.shape[1], codes.shape[1] * BINS
    weighted = [*slope[rows].T, curvature[rows]]
    sums = [np.bincount(flat, weights=np.repeat(one, width), minlength=size) for one in weighted]
    return np.stack([*sums, np.bincount(flat, minlength=size).astype(np.float64)])


def _gains(sums: Floats, min_rows: int) -> Floats:
    """(features · BINS,): how much the loss falls when a leaf is split behind that bin; -inf where it may not be."""
    left = np.cumsum(sums.reshape(len(sums), -1, BINS), axis=2)
    total = left[:, :, -1:]
    right = total - left
    gain = _fall(left) + _fall(right) - _fall(total)
    return np.where((left[-1] >= min_rows) & (right[-1] >= min_rows), gain, -np.inf).ravel()


def _fall(sums: Floats) -> Floats:
    """How much the best values of leaves with these sums lower the loss, twice."""
    return np.asarray((sums[:-2] ** 2).sum(axis=0) / (sums[-2] + RIDGE))


class _Nodes:
    """The lists of `Trees` and `Curves`, while they are written."""

    def __init__(self, base: Floats) -> None:
        self._base = base
        self._roots: list[int] = []
        self._feature: list[int] = []
        self._edge: list[float] = []
        self._added: list[tuple[float, ...]] = []
        self._left: list[int] = []
        self._right: list[int] = []

    def add(self, binned: Binned, grown: list[_Leaf], rate: float) -> None:
        first = len(self._feature)
        self._roots.append(first)
        for leaf in grown:
            feature, place = divmod(leaf.split, BINS)
            self._feature.append(LEAF if leaf.ends else feature)
            self._edge.append(0.0 if leaf.ends else float(binned.edges[feature][place]))
            self._added.append(tuple(leaf.values(rate).tolist()) if leaf.ends else ())
            self._left.append(0 if leaf.ends else first + leaf.left)
            self._right.append(0 if leaf.ends else first + leaf.right)

    def trees(self) -> Trees:
        pairs = zip(self._added, self._edge, strict=True)
        number = tuple(sum(added) / len(added) if added else edge for added, edge in pairs)
        feature, left, right = tuple(self._feature), tuple(self._left), tuple(self._right)
        return Trees(float(self._base.mean()), tuple(self._roots), feature, number, left, right)

    def curves(self) -> Curves:
        return Curves(self.trees(), tuple(self._base.tolist()), tuple(self._added))


def leaves_of(trees: Trees, x: Floats) -> Codes:
    """(trees, rows): `trees.leaves` of every row of `x` (rows, features)."""
    feature, number = np.array(trees.feature), np.array(trees.number)
    left, right = np.array(trees.left), np.array(trees.right)
    ends, rows = np.empty((len(trees.roots), len(x)), dtype=np.int64), np.arange(len(x))
    for tree, root in enumerate(trees.roots):
        at = np.full(len(x), root)
        while (inner := feature[at] != LEAF).any():
            goes_left = x[rows, np.maximum(feature[at], 0)] <= number[at]
            at = np.where(inner, np.where(goes_left, left[at], right[at]), at)
        ends[tree] = at
    return ends


def values_of(trees: Trees, x: Floats) -> Floats:
    """(rows,): `trees.value` of every row of `x` (rows, features), the same bit for bit."""
    total, number = np.full(len(x), trees.base), np.array(trees.number)
    for leaf in leaves_of(trees, x):
        total += number[leaf]
    return total


def curves_of(curves: Curves, x: Floats) -> Floats:
    """(rows, knots): `curves.values` of every row of `x`, the same bit for bit."""
    knots = len(curves.base)
    added = np.array([one or (0.0,) * knots for one in curves.added])
    total = np.tile(np.array(curves.base), (len(x), 1))
    for leaf in leaves_of(curves.trees, x):
        total += added[leaf]
    return total
