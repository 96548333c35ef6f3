"""Families of policies side by side: area by the plain and by the fitted hull, their differences, cost at a quality.

The fitted hull chooses policies and their mix per budget on the other folds (docs/routing.md); the plain one is that of
the measured points and flatters. Intervals: bootstrap over prompts, the same resamples for all families, so that
differences are paired; policies and mixes stay as chosen.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from routing.offline.metrics import RESAMPLES, Floats, Points, area_to_one, hull_area, upper_hull
from routing.offline.pairs import Estimate
from routing.offline.pools import BUDGETS, CostAt, Policies, mixes_for
from routing.offline.splits import Split

QUALITIES = (0.95, 0.98, 0.99, 0.995)


@dataclass(frozen=True, slots=True)
class Operating:
    """One family."""

    plain: Estimate
    fitted: Estimate
    cost_at: tuple[CostAt, ...]
    """Per quality in `QUALITIES`: chosen on other folds, measured here."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """All families, and how much the first of each pair is above the second."""

    families: dict[str, Operating]
    differences: dict[tuple[str, str], tuple[Estimate, Estimate]]
    """(one, other) → plain and fitted area of the one less those of the other."""


def compare(
    families: Mapping[str, Policies],
    singles: Policies,
    folds: Sequence[Split],
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Comparison:
    """`singles`: always each model, weakest first; they belong to every family. `folds`: every row in one test part."""
    joined = {name: family.joined(singles) for name, family in families.items()}
    mixed = {name: mixed_by_budget(family, singles, folds) for name, family in joined.items()}
    rows = singles.cost.shape[1]
    rng = np.random.default_rng(seed)
    draws = [np.bincount(rng.integers(0, rows, rows), minlength=rows) / rows for _ in range(resamples)]
    weights = np.array([np.full(rows, 1 / rows), *draws])
    plain = {name: _areas(family, singles, weights, hull=True) for name, family in joined.items()}
    fitted = {name: _areas(family, singles, weights, hull=False) for name, family in mixed.items()}
    found = {
        name: Operating(
            _estimate(plain[name]),
            _estimate(fitted[name]),
            tuple(cost_at(share, family, singles, folds) for share in QUALITIES),
        )
        for name, family in joined.items()
    }
    names = list(families)
    pairs = [(one, other) for at, other in enumerate(names) for one in names[at + 1 :]]
    return Comparison(
        found,
        {
            (one, other): (_estimate(plain[one] - plain[other]), _estimate(fitted[one] - fitted[other]))
            for one, other in pairs
        },
    )


def mixed_by_budget(family: Policies, singles: Policies, folds: Sequence[Split]) -> Policies:
    """One policy per budget: the mix that the other folds choose for it."""
    cost = np.empty((BUDGETS, singles.cost.shape[1]))
    quality = np.empty_like(cost)
    for fold in folds:
        weakest, strongest = (float(singles.cost[at, fold.train].mean()) for at in (0, -1))
        mix = mixes_for(family.points(fold.train), np.linspace(weakest, strongest, BUDGETS))
        cost[:, fold.test] = mix @ family.cost[:, fold.test]
        quality[:, fold.test] = mix @ family.quality[:, fold.test]
    return Policies(cost, quality)


def _areas(family: Policies, singles: Policies, weights: Floats, *, hull: bool) -> Floats:
    """(draws,) normalised areas; `weights`: (draws, rows), each summing to 1."""
    costs, qualities = weights @ family.cost.T, weights @ family.quality.T
    weak = np.column_stack([weights @ singles.cost[0], weights @ singles.quality[0]])
    strong = np.column_stack([weights @ singles.cost[-1], weights @ singles.quality[-1]])
    areas = []
    for cost, quality, low, high in zip(costs, qualities, weak, strong, strict=True):
        if hull:
            ends = (float(low[0]), float(low[1])), (float(high[0]), float(high[1]))
            areas.append(hull_area(Points(cost, quality), weak=ends[0], strong=ends[1]))
            continue
        x = np.concatenate([[0.0], (cost - low[0]) / (high[0] - low[0])])
        y = np.concatenate([[0.0], (quality - low[1]) / (high[1] - low[1])])
        order = np.argsort(x, kind="stable")
        areas.append(area_to_one(x[order], y[order]))
    return np.array(areas)


def _estimate(values: Floats) -> Estimate:
    """The first value, with the interval of the others."""
    if len(values) == 1:
        return Estimate(float(values[0]))
    low, high = np.percentile(values[1:], [2.5, 97.5])
    return Estimate(float(values[0]), float(low), float(high))


def cost_at(share: float, family: Policies, singles: Policies, folds: Sequence[Split]) -> CostAt:
    """The cheapest mix with `share` of always-strongest's quality on the other folds, applied to each fold.

    Where the others' hull does not reach it: its best point.
    """
    cost = quality = 0.0
    for fold in folds:
        known = family.points(fold.train)
        corners = upper_hull(known.cost, known.quality)
        reached = known.quality[corners]
        target = min(share * float(singles.quality[-1, fold.train].mean()), float(reached.max()))
        mix = mixes_for(known, np.array([np.interp(target, reached, known.cost[corners])]))[0]
        cost += float((mix @ family.cost[:, fold.test]).sum())
        quality += float((mix @ family.quality[:, fold.test]).sum())
    return CostAt(share, cost / float(singles.cost[-1].sum()), quality / float(singles.quality[-1].sum()))
