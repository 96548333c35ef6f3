"""What stands beside every result: random, prompt length, knowing the task, the oracle (docs/routing.md).

A router that does not beat length and task identity has learned nothing beyond them. Scores in [0, 1], costs in USD;
what learns does so from the training rows alone.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from routing.offline.metrics import Floats
from routing.offline.outcomes import Row
from routing.offline.splits import Indices

RANDOM_DRAWS = 30
"""Over which a random router is averaged."""


def lengths(rows: Sequence[Row]) -> Floats:
    """(rows,) characters of each prompt: the need for a strong model, without any label."""
    return np.array([len(row.prompt) for row in rows], dtype=np.float64)


def task_ids(rows: Sequence[Row]) -> NDArray[np.int64]:
    """(rows,) a number for each task, by name."""
    return np.unique(np.array([row.task for row in rows]), return_inverse=True)[1].astype(np.int64)


def task_means(values: Floats, tasks: NDArray[np.int64], train: Indices, test: Indices) -> Floats:
    """(test, …) the mean of `values` (rows, …) over the training rows of each test row's task.

    A task without training rows gets the mean over all of them.
    """
    overall = values[train].mean(axis=0)
    means = np.broadcast_to(overall, (int(tasks.max()) + 1, *values.shape[1:])).copy()
    for task in np.unique(tasks[train]):
        means[task] = values[train[tasks[train] == task]].mean(axis=0)
    return means[tasks[test]]


def random_needs(rows: int, *, draws: int = RANDOM_DRAWS, seed: int = 0) -> Floats:
    """(draws, rows) needs that know nothing."""
    return np.random.default_rng(seed).random((draws, rows))
