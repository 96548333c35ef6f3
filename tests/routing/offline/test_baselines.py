"""Baselines know what they may: length, the training rows' task means, nothing, everything."""

import numpy as np

from routing.offline.baselines import RANDOM_DRAWS, lengths, random_needs, task_ids, task_means
from routing.offline.metrics import curve
from tests.routing.offline.outcome_rows import outcome_rows


def test_length_is_in_characters() -> None:
    rows = outcome_rows(4)
    assert list(lengths(rows)) == [len(row.prompt) for row in rows]


def test_tasks_are_numbered_by_name() -> None:
    assert list(task_ids(outcome_rows(4))) == [0, 1, 0, 1]


def test_a_task_has_its_mean_over_training_rows_alone() -> None:
    values = np.array([1.0, 3.0, 5.0, 100.0, 100.0])
    tasks = np.array([0, 0, 1, 1, 2])
    found = task_means(values, tasks, np.array([0, 1, 2]), np.array([3, 4]))
    assert list(found) == [5.0, 3.0]  # the third task was not seen: the mean over all three


def test_means_of_several_models_at_once() -> None:
    values = np.array([[1.0, 2.0], [3.0, 4.0], [9.0, 9.0]])
    found = task_means(values, np.zeros(3, dtype=np.int64), np.array([0, 1]), np.array([2]))
    assert found.tolist() == [[2.0, 3.0]]


def test_random_routing_recovers_half_of_the_gap() -> None:
    rows = outcome_rows(2000)
    weak, strong = (np.array([row.outcomes[model].score for row in rows]) for model in ("small", "large"))
    needs = random_needs(len(rows))
    assert needs.shape == (RANDOM_DRAWS, len(rows))
    values = [curve(weak, strong, need).apgr for need in needs]
    assert abs(np.mean(values) - 0.5) < 0.01
    assert 0 < np.std(values) < 0.05
