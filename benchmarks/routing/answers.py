"""GSM8K with the weak answer read before the strong model is asked: five folds of seed 0, pooled."""

from collections.abc import Sequence

from benchmarks.data import RoutingData
from benchmarks.report import Bar
from benchmarks.routing.yardsticks import GPT_4, MIXTRAL
from routing.offline.evaluate import evaluate
from routing.offline.pairs import Estimate, PairResult
from routing.offline.routers import READING, UNLABELLED

LEAST_APGR, LEAST_UNLABELLED = 0.78, 0.70
MOST_CPT50, MOST_CPT80 = 17.0, 38.0


def answers(data: RoutingData) -> list[Bar]:
    """With labels, and by structure alone."""
    return bars_of(evaluate(data.rows("routellm-gsm8k"), (MIXTRAL, GPT_4)).pair)


def bars_of(routers: Sequence[PairResult]) -> list[Bar]:
    """Before: 0.764, 17.1 %, 39.3 %; by structure 0.714."""
    named = {one.name: one for one in routers}
    read, checked = named[READING], named[UNLABELLED]
    return [
        bar("GSM8K, weak answer read (before: 0.764)", read.apgr, "APGR", LEAST_APGR),
        bar("GSM8K, weak answer read: CPT50 (before: 17.1)", read.cpt50, "%", MOST_CPT50, at_most=True),
        bar("GSM8K, weak answer read: CPT80 (before: 39.3)", read.cpt80, "%", MOST_CPT80, at_most=True),
        bar("GSM8K, weak answer checked, no labels (before: 0.714)", checked.apgr, "APGR", LEAST_UNLABELLED),
    ]


def bar(name: str, value: Estimate, unit: str, limit: float | None, *, at_most: bool = False) -> Bar:
    """A value with its interval against its limit."""
    return Bar(name, value.value, unit, limit, at_most=at_most, low=value.low, high=value.high)
