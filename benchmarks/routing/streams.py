"""Learning from zero labels while serving: quality of what was learned, and how well the spend kept to its budget."""

import numpy as np

from benchmarks.data import RoutingData
from benchmarks.report import Bar
from benchmarks.routing.yardsticks import GPT_4, MIXTRAL
from routing.features import features
from routing.offline.streams import REQUESTS, SEEDS, Prompts, Setting, Streamed, stream

LEAST_APGR = 0.60
MOST_SPEND_ERROR = 2.0
"""%."""


def streams(data: RoutingData, *, setting: Setting | None = None) -> list[Bar]:
    """One pass over MMLU per seed."""
    rows = data.rows("routellm-mmlu")
    scores = np.array([[row.outcomes[model].score for model in (MIXTRAL, GPT_4)] for row in rows])
    prompts = Prompts([features(row.prompt) for row in rows], scores[:, 0], scores[:, 1])
    return bars_of([stream(prompts, setting or Setting(), seed=seed) for seed in SEEDS])


def bars_of(passes: list[Streamed]) -> list[Bar]:
    """Mean APGR over the passes, and the spend that missed its budget most."""
    apgr = float(np.mean([one.apgr for one in passes]))
    low, high = (float(np.mean([getattr(one, end) for one in passes])) for end in ("low", "high"))
    spend = [100 * one.spend_error for one in passes]
    worst = max(abs(error) for error in spend)
    return [
        Bar(f"online, MMLU, {REQUESTS:,} requests from zero labels", apgr, "APGR", LEAST_APGR, low=low, high=high),
        Bar(
            "online: spend off its budget", worst, "%", MOST_SPEND_ERROR, at_most=True, low=min(spend), high=max(spend)
        ),
        Bar("online: worst 1,000 requests", max(abs(100 * one.worst_window) for one in passes), "%"),
    ]
