import numpy as np
import pytest

from routing.offline.linear import Sparse, sparse_rows
from routing.offline.topics import fit_topics, times, transposed


def dense(rows: Sparse) -> np.ndarray:
    full = np.zeros((rows.rows, rows.width))
    full[rows.row_of, rows.columns] = rows.data
    return full


def two_subjects(prompts: int = 60) -> Sparse:
    """Even rows draw from columns 0 … 9, odd ones from 10 … 19; column 20 is in every row."""
    rng = np.random.default_rng(0)
    rows = [[*(10 * (at % 2) + rng.permutation(10)[:4]).tolist(), 20] for at in range(prompts)]
    return sparse_rows(rows, width=32)


def test_prompts_of_one_subject_lie_together_without_labels() -> None:
    rows = two_subjects()
    found = fit_topics(rows, 2).of(rows)
    likeness = found @ found.T
    same = np.equal.outer(np.arange(60) % 2, np.arange(60) % 2)
    assert likeness[same].min() > 0.2
    assert np.abs(likeness[~same]).max() < 0.05


def test_what_is_in_nearly_every_prompt_or_in_few_is_left_out() -> None:
    topics = fit_topics(two_subjects(), 2)
    assert topics.rarity[20] == 0
    assert topics.rarity[25] == 0
    assert topics.rarity[:20].min() > 0


def test_axes_are_those_of_the_exact_decomposition_and_repeat() -> None:
    rows = two_subjects()
    topics = fit_topics(rows, 3)
    assert topics.axes.T @ topics.axes == pytest.approx(np.eye(3), abs=1e-6)
    assert (fit_topics(rows, 3).axes == topics.axes).all()
    weighed = dense(rows) * topics.rarity
    weighed /= np.linalg.norm(weighed, axis=1, keepdims=True)
    strengths = np.linalg.svd(weighed, compute_uv=False)[:2]
    assert np.linalg.norm(topics.of(rows)[:, :2], axis=0) == pytest.approx(strengths, rel=1e-3)


def test_there_are_no_more_topics_than_the_rows_have() -> None:
    rows = sparse_rows([[0], [0], [0], [1], [1], [1]], width=4)
    assert fit_topics(rows, 9).axes.shape == (4, 2)


def test_rows_without_a_known_column_lie_at_zero() -> None:
    topics = fit_topics(two_subjects(), 2)
    assert (topics.of(sparse_rows([[], [31]], width=32)) == 0).all()


def test_products_are_those_of_dense_matrices() -> None:
    rows = sparse_rows([[0, 2], [], [1], [], [2, 3, 0], []], width=4)
    matrix = np.arange(8, dtype=np.float64).reshape(4, 2)
    assert times(rows, matrix) == pytest.approx(dense(rows) @ matrix)
    assert (dense(transposed(rows)) == dense(rows).T).all()
