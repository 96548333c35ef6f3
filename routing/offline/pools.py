"""Policies over models with prices measured: cost against quality, normalised area, cost at a share of the best.

A router is a family of policies (one per λ or threshold) and what each cost and scored on every row, learned from
other rows. What is reported chooses policies and their mix on the other folds (docs/routing.md): the hull of the
measured curve itself flatters. Costs in USD per request, scores in [0, 1].
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from routing.offline.metrics import RESAMPLES, Floats, Points, area_to_one, hull_area, upper_hull
from routing.offline.pairs import Estimate
from routing.offline.splits import Indices, Split

BUDGETS = 101
"""Budgets, evenly between always-weakest and always-strongest, at which a mix is chosen."""
QUALITIES = (0.95, 0.98, 0.99)
"""Of always-strongest: the points whose cost is shown."""
LAMBDAS = np.concatenate([[0.0], np.geomspace(2e-3, 20, 40)])
"""Scores per span of cost between the weakest and the strongest model."""


@dataclass(frozen=True, slots=True)
class Policies:
    """What each policy of a router cost, (policies, rows), and how good its answers were, (policies, rows)."""

    cost: Floats
    quality: Floats

    def joined(self, other: "Policies") -> "Policies":
        """The policies of both, over the same rows."""
        return Policies(np.vstack([self.cost, other.cost]), np.vstack([self.quality, other.quality]))

    def points(self, rows: Indices) -> Points:
        """Mean cost and quality of each policy on `rows`."""
        return Points(self.cost[:, rows].mean(axis=1), self.quality[:, rows].mean(axis=1))


@dataclass(frozen=True, slots=True)
class CostAt:
    """The cheapest mix that kept a share of always-strongest's quality on the other folds, and what it did here."""

    asked: float
    cost: float
    """As a share of always-strongest's cost."""
    quality: float
    """As a share of always-strongest's quality."""


@dataclass(frozen=True, slots=True)
class PoolResult:
    """One router over a pool of models."""

    name: str
    area: Estimate
    """Normalised cost-quality area with policies chosen on other folds."""
    plain_area: float
    """The same by the hull of the measured points: too high."""
    cost_at: tuple[CostAt, ...]
    cost: Floats
    quality: Floats
    """The curve of the chosen mixes, per budget."""


def chosen_by(predicted: Floats, prices: Floats, scores: Floats, costs: Floats) -> Policies:
    """Per λ the model of greatest predicted score less λ · predicted cost; the cheaper one of equals.

    `predicted`: (rows, models) scores, `prices`: (rows, models) or (models,) costs as known before the answer;
    `scores`, `costs`: (rows, models) what was.
    """
    prices = np.broadcast_to(prices, predicted.shape)
    mean = prices.mean(axis=0)
    span = float(mean.max() - mean.min()) or 1.0
    picks = np.stack([np.argmax(predicted - weight / span * prices, axis=1) for weight in LAMBDAS])
    return _picked(picks, scores, costs)


def split_by(need: Floats, thresholds: Floats, scores: Floats, costs: Floats) -> Policies:
    """Per pair of models and threshold: the better one where `need` (rows,) is at least the threshold."""
    count = scores.shape[1]
    pairs = [(low, high) for low in range(count) for high in range(low + 1, count)]
    sent = [need >= threshold for threshold in thresholds]
    return _picked(np.stack([np.where(to, high, low) for low, high in pairs for to in sent]), scores, costs)


def single_models(scores: Floats, costs: Floats) -> Policies:
    """Each model for everything: their hull is the linear baseline."""
    rows, count = scores.shape
    return _picked(np.repeat(np.arange(count)[:, None], rows, axis=1), scores, costs)


def _picked(picks: Indices, scores: Floats, costs: Floats) -> Policies:
    rows = np.arange(len(scores))
    return Policies(costs[rows, picks], scores[rows, picks])


def measure_pool(
    name: str,
    policies: Policies,
    singles: Policies,
    folds: Sequence[Split],
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> PoolResult:
    """`singles`: always each model, weakest first; `folds`: each chooses on its `train` rows, applies to `test`.

    Raises `ValueError` unless the strongest model is both the better and the dearer one.
    """
    _check(singles)
    family = policies.joined(singles)
    cost, quality = _mixed(family, singles, folds)
    weak, strong = (singles.cost[0], singles.quality[0]), (singles.cost[-1], singles.quality[-1])
    rng = np.random.default_rng(seed)
    rows = singles.cost.shape[1]
    everyone = np.full(rows, 1 / rows)
    again = [np.bincount(rng.integers(0, rows, rows), minlength=rows) / rows for _ in range(resamples)]
    areas = [_area(cost @ w, quality @ w, _ends(weak, w), _ends(strong, w)) for w in [everyone, *again]]
    low, high = np.percentile(areas[1:], [2.5, 97.5]) if resamples else (np.nan, np.nan)
    plain = hull_area(family.points(np.arange(rows)), weak=_ends(weak, everyone), strong=_ends(strong, everyone))
    at = tuple(_cost_at(asked, family, singles, folds) for asked in QUALITIES)
    return PoolResult(
        name, Estimate(areas[0], float(low), float(high)), plain, at, cost.mean(axis=1), quality.mean(axis=1)
    )


def random_pool(draws: Sequence[PoolResult]) -> PoolResult:
    """The mean of random routers; its interval holds 95 % of them."""
    areas = np.array([draw.area.value for draw in draws])
    low, high = np.percentile(areas, [2.5, 97.5])
    at = tuple(
        CostAt(same[0].asked, float(np.mean([one.cost for one in same])), float(np.mean([one.quality for one in same])))
        for same in zip(*(draw.cost_at for draw in draws), strict=True)
    )
    return PoolResult(
        "random",
        Estimate(float(areas.mean()), float(low), float(high)),
        float(np.mean([draw.plain_area for draw in draws])),
        at,
        np.mean([draw.cost for draw in draws], axis=0),
        np.mean([draw.quality for draw in draws], axis=0),
    )


def _check(singles: Policies) -> None:
    cost, quality = singles.cost.mean(axis=1), singles.quality.mean(axis=1)
    if quality[-1] <= quality[0] or cost[-1] <= cost[0]:
        raise ValueError(
            f"the strongest model scores {quality[-1]:.4f} at {cost[-1]:.3g} USD, the weakest {quality[0]:.4f} "
            f"at {cost[0]:.3g} USD: no gap to trade"
        )


def _ends(model: tuple[Floats, Floats], weights: Floats) -> tuple[float, float]:
    return float(model[0] @ weights), float(model[1] @ weights)


def _area(cost: Floats, quality: Floats, weak: tuple[float, float], strong: tuple[float, float]) -> float:
    """Under the line through the budgets' points, in order of cost, always-weakest and always-strongest with them."""
    x = np.concatenate([[0.0], (cost - weak[0]) / (strong[0] - weak[0])])
    y = np.concatenate([[0.0], (quality - weak[1]) / (strong[1] - weak[1])])
    order = np.argsort(x, kind="stable")
    return area_to_one(x[order], y[order])


def _mixed(family: Policies, singles: Policies, folds: Sequence[Split]) -> tuple[Floats, Floats]:
    """(budgets, rows) cost and quality of the mix that the other folds choose for each budget."""
    cost = np.empty((BUDGETS, singles.cost.shape[1]))
    quality = np.empty_like(cost)
    for fold in folds:
        known = family.points(fold.train)
        weakest, strongest = (float(singles.cost[at, fold.train].mean()) for at in (0, -1))
        mix = mixes_for(known, np.linspace(weakest, strongest, BUDGETS))
        cost[:, fold.test] = mix @ family.cost[:, fold.test]
        quality[:, fold.test] = mix @ family.quality[:, fold.test]
    return cost, quality


def mixes_for(known: Points, budgets: Floats) -> Floats:
    """(budgets, policies) shares of the best mix of at most two policies whose mean cost is the budget, USD.

    Below the cheapest policy that one, above the best one that one.
    """
    corners = np.array(upper_hull(known.cost, known.quality))
    cost = known.cost[corners]
    place = np.interp(budgets, cost, np.arange(len(corners)))
    low = np.floor(place).astype(int)
    high = np.minimum(low + 1, len(corners) - 1)
    shares = np.zeros((len(budgets), len(known.cost)))
    every = np.arange(len(budgets))
    shares[every, corners[low]] = 1 - (place - low)
    shares[every, corners[high]] += place - low
    return shares


def _cost_at(asked: float, family: Policies, singles: Policies, folds: Sequence[Split]) -> CostAt:
    cost = quality = 0.0
    for fold in folds:
        known = family.points(fold.train)
        corners = upper_hull(known.cost, known.quality)
        target = min(asked * float(singles.quality[-1, fold.train].mean()), float(known.quality[corners].max()))
        budget = float(np.interp(target, known.quality[corners], known.cost[corners]))
        mix = mixes_for(known, np.array([budget]))[0]
        cost += float((mix @ family.cost[:, fold.test]).sum())
        quality += float((mix @ family.quality[:, fold.test]).sum())
    return CostAt(asked, cost / float(singles.cost[-1].sum()), quality / float(singles.quality[-1].sum()))
