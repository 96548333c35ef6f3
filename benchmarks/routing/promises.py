"""Is the promise kept, and what does it cost? 300 random splits for each of three pairs of models and two alphas."""

from benchmarks.data import RoutingData
from benchmarks.report import Bar
from routing.offline.promises import ALPHAS, CALIBRATION_ROWS, CELLS, DELTA, SPLITS, Kept, measure, pair_of

KIND = "horizon, coin"
"""What the shipped policy promises: for the requests that follow, randomised."""
MOST_PREMIUM = {0.02: 10.0, 0.05: 8.0}
"""Points of always-strong above the naive threshold, by alpha."""


def promises(data: RoutingData, *, splits: int = SPLITS, rows: int = CALIBRATION_ROWS) -> list[Bar]:
    """Per pair and alpha: share of violated splits, and the premium; the naive threshold beside them."""
    known = data.rows("mzelling-llama")
    found = []
    for task, weak, strong in CELLS:
        pair = pair_of(known, task, weak, strong)
        for alpha in ALPHAS:
            kept = {one.kind: one for one in measure(pair, alpha, splits=splits, rows=rows)}
            found += bars_of(f"{task} {weak} to {strong}, alpha {alpha:.0%}", kept[KIND], kept["naive"], alpha)
    return found


def bars_of(title: str, kept: Kept, naive: Kept, alpha: float) -> list[Bar]:
    """Of one pair: the share of violations with its 95 % binomial interval, and what it costs more than naive."""
    low, high = (100 * end for end in kept.interval)
    premium = 100 * float(kept.cost - naive.cost)
    return [
        Bar(f"promise, {title}: violated", 100 * kept.rate, "%", 100 * DELTA, at_most=True, low=low, high=high),
        Bar(f"promise, {title}: above naive", premium, "points", MOST_PREMIUM[alpha], at_most=True),
        Bar(f"naive threshold, {title}: violated", 100 * naive.rate, "%"),
    ]
