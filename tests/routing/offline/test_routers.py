"""Learned routers appear where the rows have their fields, and learn from training rows alone."""

import msgspec
import numpy as np

from routing.offline.outcomes import Row
from routing.offline.pairs import measure_pair, pooled
from routing.offline.routers import CONFIDENCE, PROMPT, READING, pair_routers, pool_routers, prior_learner
from routing.offline.splits import k_folds, label_draws
from routing.prior import prompt_features
from tests.routing.offline.outcome_rows import MODELS, confident, outcome_rows


def answered(rows: list[Row]) -> list[Row]:
    """Right answers end in a number, wrong ones in doubt."""
    return [
        msgspec.structs.replace(
            row,
            outcomes={
                model: msgspec.structs.replace(
                    one, answer="The answer is 4." if one.score else "I am not sure, perhaps"
                )
                for model, one in row.outcomes.items()
            },
        )
        for row in rows
    ]


def test_rows_without_answers_or_confidence_have_no_such_router() -> None:
    assert [router.name for router in pair_routers(outcome_rows(20), ("small", "large"))] == [PROMPT]
    assert CONFIDENCE in {router.name for router in pair_routers(confident(outcome_rows(20)), ("small", "large"))}


def test_what_reads_the_answer_beats_chance_and_pays_for_it() -> None:
    rows = answered(confident(outcome_rows(60)))
    weak, strong = (np.array([row.outcomes[model].score for row in rows]) for model in ("small", "large"))
    for router in pair_routers(rows, ("small", "large")):
        parts = pooled(router.learn, k_folds(len(rows), 2), draws=False)
        found = measure_pair(router.name, parts, weak, strong, resamples=0)
        assert router.reads_answer is (router.name != PROMPT)
        if router.name in (CONFIDENCE, READING):
            assert found.apgr.value > 0.7


def test_unlabelled_prompts_are_those_of_the_other_half_without_scores() -> None:
    rows = outcome_rows(60)
    known = [prompt_features(row.prompt) for row in rows]
    weak, strong = (np.array([row.outcomes[model].score for row in rows]) for model in ("small", "large"))
    split = label_draws(len(rows), 30)[0]
    hidden = strong.copy()
    hidden[split.test] = 0.0
    needs = [prior_learner(known, weak, scores, unlabelled=True)(split) for scores in (strong, hidden)]
    assert needs[0].shape == split.test.shape
    assert (needs[0] == needs[1]).all()


def test_more_models_than_tiers_or_missing_answers_make_no_cascade() -> None:
    rows = outcome_rows(40)
    costs = np.tile([1e-4, 4e-4, 2e-3], (len(rows), 1))
    assert pool_routers(rows, MODELS, costs, k_folds(len(rows))) == {}
    assert pool_routers(answered(rows), (*MODELS, "small"), costs, k_folds(len(rows))) == {}


def test_a_cascade_has_policies_for_every_row() -> None:
    rows = answered(confident(outcome_rows(100)))
    costs = np.tile([1e-4, 2e-3], (len(rows), 1))
    found = pool_routers(rows, ("small", "large"), costs, k_folds(len(rows), 2))
    assert {"router", "cascade", "cascade routing"} <= set(found)
    assert all(policies.cost.shape[1] == len(rows) for policies in found.values())
    assert (found["cascade routing"].cost > 0).all()
