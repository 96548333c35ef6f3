"""The mixed workload: four tasks, three Llama models, costs as billed; five folds of seed 1, hulls on other folds."""

from collections.abc import Sequence

import numpy as np

from benchmarks.data import RoutingData
from benchmarks.report import Bar
from benchmarks.routing.answers import bar
from benchmarks.routing.yardsticks import LLAMAS, MIXED
from routing.offline.evaluate import evaluate
from routing.offline.pools import PoolResult

LEAST_AREA = 0.855
MOST_COST = 0.60
"""Of always-strongest, at 99 % of its score."""
MOST_BEHIND = 0.01
FAMILIES = ("router", "cascade", "cascade routing")


def mix(data: RoutingData) -> list[Bar]:
    """The prior alone, calibrated thresholds, and both by backward induction."""
    rows = [row for row in data.rows("mzelling-llama") if row.task in MIXED]
    return bars_of(evaluate(rows, LLAMAS, seed=1).pool)


def bars_of(routers: Sequence[PoolResult]) -> list[Bar]:
    """Before: router 0.820, cascade 0.801, both 0.847 and 0.64 at 98.99 %."""
    named = {one.name: one for one in routers}
    router, cascade, both = (named[name] for name in FAMILIES)
    at_99 = next(at for at in both.cost_at if at.asked == 0.99)
    ahead = both.area.value - max(router.area.value, cascade.area.value)
    return [
        bar("mixed: router (before: 0.820)", router.area, "area", None),
        bar("mixed: cascade (before: 0.801)", cascade.area, "area", None),
        bar("mixed: cascade routing (before: 0.847)", both.area, "area", LEAST_AREA),
        Bar("mixed: ahead of the better of both", ahead, "area", -MOST_BEHIND),
        Bar("mixed: cost at 99 % (before: 0.64)", at_99.cost, "x", MOST_COST, at_most=True),
        Bar("mixed: score there, of always-strongest's", 100 * at_99.quality, "%"),
        Bar("mixed: cost where the measured curve has 99 %", reached(both, named["linear (single models)"]), "x"),
    ]


def reached(router: PoolResult, linear: PoolResult, *, asked: float = 0.99) -> float:
    """Cost, of always-strongest's, at which the curve first has that share of its score; NaN where it never has.

    `linear` ends at always-strongest. Read off the measured curve, so not a promise: choosing the point costs a little.
    """
    enough = np.flatnonzero(router.quality >= asked * linear.quality[-1])
    return float(router.cost[enough[0]] / linear.cost[-1]) if len(enough) else float("nan")
