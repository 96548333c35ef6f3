"""A low-rank space of topics from prompts alone, no labels: latent semantic analysis over hashed words.

Prompts that share no word can share a topic, so a few labels speak for many prompts. Deterministic for a seed.
Source: Deerwester et al. 1990; randomised range finder of Halko, Martinsson, Tropp 2011 (arXiv 0909.4061).
"""

from dataclasses import dataclass

import numpy as np

from routing.offline.linear import Floats, Sparse, sums_at

LEAST_PROMPTS = 3
MOST_SHARE = 0.9
"""A bucket that fewer prompts or a greater share of them have says nothing about topics."""
_EXTRA, _PASSES, _CHUNK = 10, 3, 500


@dataclass(frozen=True, slots=True)
class Topics:
    """`rarity`: (width,) inverse prompt frequencies, 0 for what is left out; `axes`: (width, topics), orthonormal."""

    rarity: Floats
    axes: Floats

    def of(self, rows: Sparse) -> Floats:
        """(rows, topics): where each prompt lies; prompts without a known bucket at 0."""
        return times(_weighed(rows, self.rarity), self.axes)


def fit_topics(rows: Sparse, count: int, *, seed: int = 0) -> Topics:
    """The `count` topics that explain most of `rows`, strongest first; fewer when the rows have no more."""
    prompts = sums_at(rows.columns, np.ones(len(rows.columns)), rows.width)
    kept = (prompts >= min(LEAST_PROMPTS, rows.rows)) & (prompts <= max(1.0, MOST_SHARE * rows.rows))
    rarity = np.where(kept, np.log((1 + rows.rows) / (1 + prompts)) + 1, 0.0)
    weighed = _weighed(rows, rarity)
    across = transposed(weighed)
    size = max(1, min(count + _EXTRA, rows.rows, int(kept.sum())))
    sample = np.random.default_rng(seed).normal(size=(rows.width, size))
    for _ in range(_PASSES):
        within, _ = np.linalg.qr(times(weighed, sample))
        sample = times(across, within)
    squares, turns = np.linalg.eigh(sample.T @ sample)
    real = np.flatnonzero(squares > 1e-12 * max(float(squares[-1]), 1e-300))[::-1][:count]
    return Topics(rarity, sample @ (turns[:, real] / np.sqrt(squares[real])))


def times(rows: Sparse, matrix: Floats) -> Floats:
    """(width, n) → (rows, n)."""
    product = np.zeros((rows.rows, matrix.shape[1]))
    filled = np.flatnonzero(np.diff(rows.starts))
    for at in range(0, len(filled), _CHUNK):
        chosen = filled[at : at + _CHUNK]
        first, last = rows.starts[chosen[0]], rows.starts[chosen[-1] + 1]
        entries = rows.data[first:last, None] * matrix[rows.columns[first:last]]
        product[chosen] = np.add.reduceat(entries, rows.starts[chosen] - first, axis=0)
    return product


def transposed(rows: Sparse) -> Sparse:
    """Columns as rows."""
    order = np.argsort(rows.columns, kind="stable")
    starts = np.concatenate([[0], np.cumsum(np.bincount(rows.columns, minlength=rows.width))])
    return Sparse(starts, rows.row_of[order], rows.data[order], rows.rows)


def _weighed(rows: Sparse, rarity: Floats) -> Sparse:
    """Entries times their rarity, each row of length 1; without those of no rarity."""
    kept = rarity[rows.columns] > 0
    lengths = np.bincount(rows.row_of[kept], minlength=rows.rows)
    starts = np.concatenate([[0], np.cumsum(lengths)])
    thin = Sparse(starts, rows.columns[kept], rows.data[kept] * rarity[rows.columns[kept]], rows.width)
    norms = np.sqrt(sums_at(thin.row_of, thin.data * thin.data, thin.rows))
    return thin.scaled(1 / np.maximum(norms, 1e-300), np.ones(rows.width))
