"""MMLU with 1,500 labels: the prior, which reads nothing but the prompt. Three permutations, 12,537 rows each to test.

Once from the labels alone; once with unlabelled prompts too, as a deployment has them: each half of the test rows is
scored by a prior that saw the prompts, never the scores, of the other half only.
"""

import numpy as np

from benchmarks.data import RoutingData
from benchmarks.report import Bar
from benchmarks.routing.answers import bar
from benchmarks.routing.yardsticks import GPT_4, MIXTRAL
from routing.offline.metrics import RESAMPLES
from routing.offline.pairs import PairResult, measure_pair, pooled
from routing.offline.routers import prior_learner
from routing.offline.splits import label_draws
from routing.prior import prompt_features

LABELS = 1500
LEAST_APGR, MOST_CPT50 = 0.65, 30.0


def prompts(data: RoutingData, *, labels: int = LABELS, resamples: int = RESAMPLES) -> list[Bar]:
    """Both ways of learning."""
    rows = data.rows("routellm-mmlu")
    known = [prompt_features(row.prompt) for row in rows]
    weak, strong = (np.array([row.outcomes[model].score for row in rows]) for model in (MIXTRAL, GPT_4))
    splits = label_draws(len(rows), labels)
    alone, more = (
        measure_pair(
            "prior",
            pooled(prior_learner(known, weak, strong, unlabelled=unlabelled), splits, draws=True),
            weak,
            strong,
            resamples=resamples,
        )
        for unlabelled in (False, True)
    )
    return bars_of(alone, more)


def bars_of(alone: PairResult, more: PairResult) -> list[Bar]:
    """Before: n-grams 0.638, 30.8 %; knowing the subject 0.642, 31.5 %."""
    title = f"MMLU, {LABELS:,} labels"
    return [
        bar(f"{title}: prior (before: 0.638)", alone.apgr, "APGR", LEAST_APGR),
        bar(f"{title}: prior: CPT50 (before: 30.8)", alone.cpt50, "%", MOST_CPT50, at_most=True),
        bar(f"{title} and unlabelled prompts: prior", more.apgr, "APGR", LEAST_APGR),
        bar(f"{title} and unlabelled prompts: CPT50", more.cpt50, "%", MOST_CPT50, at_most=True),
        bar(f"{title} and unlabelled prompts: CPT80", more.cpt80, "%", None),
    ]
