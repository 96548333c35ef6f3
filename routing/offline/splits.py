"""Which rows a router learns from and which it is measured on. Seeded; indices in, indices out.

Invariant: no index is on both sides of a split.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]

DRAWS = (0, 1, 2)
"""Seeds of the permutations of a test with few labels."""


@dataclass(frozen=True, slots=True)
class Split:
    """Learn from `train`, measure on `test`: indices of rows."""

    train: Indices
    test: Indices


def k_folds(rows: int, folds: int = 5, *, seed: int = 0) -> list[Split]:
    """Shuffled folds that differ by at most one row in size; every row is in one test part.

    Raises `ValueError` for fewer rows than folds.
    """
    if rows < folds:
        raise ValueError(f"{rows} rows cannot make {folds} folds")
    parts = np.array_split(np.random.default_rng(seed).permutation(rows), folds)
    return [Split(np.sort(np.concatenate(parts[:at] + parts[at + 1 :])), np.sort(parts[at])) for at in range(folds)]


def label_draws(rows: int, labels: int, *, seeds: Sequence[int] = DRAWS) -> list[Split]:
    """Per seed the first `labels` of a permutation to learn from, the others to measure on.

    Raises `ValueError` unless both sides get at least one row.
    """
    if not 0 < labels < rows:
        raise ValueError(f"{labels} labels of {rows} rows: give at least 1 and fewer than there are rows")
    orders = [np.random.default_rng(seed).permutation(rows) for seed in seeds]
    return [Split(order[:labels], order[labels:]) for order in orders]
