"""Routers between two models: pooled or drawn, with intervals."""

import math

import numpy as np
import pytest

from routing.offline.metrics import curve
from routing.offline.pairs import Part, baseline_parts, measure_pair, pooled, random_result
from routing.offline.splits import Split, k_folds, label_draws
from tests.routing.offline.outcome_rows import outcome_rows

ROWS = outcome_rows(400)
WEAK, STRONG = (np.array([row.outcomes[model].score for row in ROWS]) for model in ("small", "large"))


def test_folds_are_pooled_in_the_order_of_rows() -> None:
    splits = k_folds(len(ROWS))
    (part,) = pooled(lambda split: split.test * 2.0, splits, draws=False)
    assert (part.rows == np.arange(len(ROWS))).all()
    assert (part.need == np.arange(len(ROWS)) * 2.0).all()


def test_draws_stay_apart_and_are_averaged() -> None:
    splits = label_draws(len(ROWS), 100)
    parts = pooled(lambda split: STRONG[split.test] - WEAK[split.test], splits, draws=True)
    assert [len(part.rows) for part in parts] == [300, 300, 300]
    found = measure_pair("oracle", parts, WEAK, STRONG, resamples=20)
    each = [curve(WEAK[part.rows], STRONG[part.rows], part.need).apgr for part in parts]
    assert found.apgr.value == pytest.approx(np.mean(each))
    assert found.apgr.low < found.apgr.value < found.apgr.high


def test_the_task_beats_chance_and_the_oracle_everything() -> None:
    parts = baseline_parts(ROWS, WEAK, STRONG, k_folds(len(ROWS)), draws=False)
    assert list(parts) == ["prompt length", "task identity", "oracle"]
    found = {name: measure_pair(name, part, WEAK, STRONG, resamples=50) for name, part in parts.items()}
    assert found["task identity"].apgr.low > 0.5
    assert found["oracle"].apgr.low > found["task identity"].apgr.high
    assert found["oracle"].cpt50.value < found["task identity"].cpt50.value < 50
    assert found["task identity"].auroc.value > 0.7
    assert len(found["oracle"].share) == len(found["oracle"].quality) == 11


def test_one_task_is_no_baseline() -> None:
    rows = outcome_rows(20, tasks=1)
    scores = np.arange(20) / 20
    assert "task identity" not in baseline_parts(rows, scores, scores, k_folds(20), draws=False)


def test_a_resample_without_a_gap_is_left_out() -> None:
    weak, strong = np.array([1.0, 0.0, 0.0]), np.array([0.0, 1.0, 1.0])
    found = measure_pair("r", [Part(np.arange(3), np.arange(3.0))], weak, strong, resamples=50)
    assert math.isfinite(found.apgr.low)


def test_without_resamples_there_is_no_interval() -> None:
    found = measure_pair("r", [Part(np.arange(len(ROWS)), WEAK)], WEAK, STRONG, resamples=0)
    assert math.isnan(found.apgr.low)
    assert math.isnan(found.cpt80.high)


def test_a_part_that_a_resample_misses_is_left_out() -> None:
    part = Part(np.array([0]), np.array([1.0]))
    found = measure_pair("r", [part], np.array([0.0, 1.0]), np.array([1.0, 1.0]), resamples=20)
    assert (found.apgr.low, found.apgr.high) == (0.5, 0.5)  # of the resamples that have the row


def test_no_gap_is_refused() -> None:
    with pytest.raises(ValueError, match="no gap"):
        measure_pair("r", [Part(np.arange(len(ROWS)), WEAK)], STRONG, WEAK)


def test_random_has_its_spread_over_draws() -> None:
    found, spread = random_result(WEAK, STRONG)
    assert found.apgr.low < 0.5 < found.apgr.high
    assert 0 < spread < 0.1
    assert found.cpt50.value == pytest.approx(50, abs=5)


def test_what_is_learned_sees_the_training_rows() -> None:
    seen: list[Split] = []
    splits = k_folds(len(ROWS))
    pooled(lambda split: (seen.append(split), np.zeros(len(split.test)))[1], splits, draws=False)
    assert seen == splits
