import numpy as np
import pytest

from routing.offline import linear
from routing.offline.linear import (
    Sparse,
    fit_logistic,
    fit_logistic_sparse,
    fit_ridge,
    fit_ridge_sparse,
    minimise,
    sigmoid,
    sparse_rows,
)


def soft_rows(rows: int = 400, columns: int = 5) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(rows, columns))
    true = rng.normal(size=columns)
    return x, sigmoid(x @ true - 0.5), true


def dense(rows: Sparse) -> np.ndarray:
    full = np.zeros((rows.rows, rows.width))
    np.add.at(full, (rows.row_of, rows.columns), rows.data)
    return full


def as_sparse(x: np.ndarray) -> Sparse:
    rows, columns = x.shape
    starts = np.arange(rows + 1, dtype=np.int64) * columns
    return Sparse(starts, np.tile(np.arange(columns), rows), x.ravel(), columns)


def test_logistic_recovers_the_weights_that_made_the_soft_labels() -> None:
    x, y, true = soft_rows()
    weights, bias = fit_logistic(x, y, l2=0.0)
    assert weights == pytest.approx(true, abs=1e-6)
    assert bias == pytest.approx(-0.5, abs=1e-6)


def test_logistic_is_at_a_stationary_point_with_weights_and_penalty() -> None:
    x, y, _ = soft_rows()
    hard, share = (y > 0.5).astype(float), np.linspace(0.1, 2, len(y))
    weights, bias = fit_logistic(x, hard, l2=3.0, weights=share)
    missed = share * (sigmoid(x @ weights + bias) - hard)
    assert x.T @ missed + 3.0 * weights == pytest.approx(np.zeros(5), abs=1e-6)
    assert missed.sum() == pytest.approx(0, abs=1e-6)


def test_logistic_stays_finite_on_separable_rows() -> None:
    x = np.linspace(-1, 1, 50)[:, None]
    weights, bias = fit_logistic(x, (x[:, 0] > 0).astype(float), l2=1e-6)
    assert np.isfinite(weights).all()
    assert np.isfinite(bias)


def test_newton_gives_what_it_has_after_its_last_step(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y, true = soft_rows()
    monkeypatch.setattr(linear, "NEWTON_STEPS", 1)
    weights, _ = fit_logistic(x, y, l2=0.0)
    assert weights != pytest.approx(true, abs=1e-6)
    assert float(weights @ true) > 0


def test_no_step_is_taken_uphill() -> None:
    assert linear._backtracked(lambda at: float(at.sum()), np.zeros(1), np.ones(1), -np.ones(1)) == 0.0


def test_sparse_and_dense_fits_agree() -> None:
    x, y, _ = soft_rows()
    share = np.linspace(0.1, 2, len(y))
    weights, bias = fit_logistic(x, y, l2=2.0, weights=share)
    other, offset = fit_logistic_sparse(as_sparse(x), y, l2=2.0, weights=share, tolerance=1e-8)
    assert other == pytest.approx(weights, abs=1e-5)
    assert offset == pytest.approx(bias, abs=1e-5)


def test_labels_all_alike_give_a_finite_bias() -> None:
    weights, bias = fit_logistic_sparse(sparse_rows([[0], [1]], width=2), np.ones(2), l2=1.0)
    assert bias > 5
    assert np.isfinite(weights).all()


def test_ridge_is_exact_on_a_line_and_shrinks() -> None:
    x, _, true = soft_rows()
    weights, bias = fit_ridge(x, x @ true + 2, l2=0.0)
    assert weights == pytest.approx(true)
    assert bias == pytest.approx(2)
    shrunk, _ = fit_ridge(x, x @ true + 2, l2=1e3, weights=np.ones(len(x)))
    assert np.linalg.norm(shrunk) < np.linalg.norm(true) / 2


def test_ridge_on_sparse_and_dense_rows_agree() -> None:
    x, y, _ = soft_rows()
    share = np.linspace(0.1, 2, len(y))
    weights, bias = fit_ridge(x, y, l2=2.0, weights=share)
    other, offset = fit_ridge_sparse(as_sparse(x), y, l2=2.0, weights=share, tolerance=1e-10)
    assert other == pytest.approx(weights, abs=1e-8)
    assert offset == pytest.approx(bias, abs=1e-8)


def test_ridge_on_sparse_rows_stops_after_its_steps() -> None:
    x, y, _ = soft_rows()
    exact, _ = fit_ridge_sparse(as_sparse(x), y, l2=2.0)
    early, _ = fit_ridge_sparse(as_sparse(x), y, l2=2.0, steps=1)
    assert np.linalg.norm(early) < np.linalg.norm(exact)


def test_sparse_rows_multiply_select_and_scale_as_dense_ones() -> None:
    rows = sparse_rows([[0, 2], [], [1], [2, 3, 0]], width=4)
    full = dense(rows)
    right, left = np.array([1.0, 2, 3, 4]), np.array([4.0, 3, 2, 1])
    assert rows.times(right) == pytest.approx(full @ right)
    assert rows.transposed_times(left) == pytest.approx(full.T @ left)
    assert (dense(rows.take(np.array([3, 1, 0]))) == full[[3, 1, 0]]).all()
    assert dense(rows.scaled(left, right)) == pytest.approx(full * left[:, None] * right)


def test_minimise_stops_where_no_step_helps() -> None:
    def cliff(at: np.ndarray) -> tuple[float, np.ndarray]:
        return float(np.abs(at).sum()), np.ones(1)  # a gradient that is wrong at the least

    assert minimise(cliff, np.zeros(1), steps=5, tolerance=1e-9) == pytest.approx([0.0])


def test_minimise_forgets_steps_over_a_straight_slope() -> None:
    def slope(at: np.ndarray) -> tuple[float, np.ndarray]:
        return float(at.sum()), np.ones(1)

    assert minimise(slope, np.zeros(1), steps=3, tolerance=1e-9) == pytest.approx([-3.0])


@pytest.mark.parametrize(
    ("y", "l2"),
    [
        pytest.param(np.array([]), 1.0, id="no-rows"),
        pytest.param(np.array([1.5]), 1.0, id="label-above-1"),
        pytest.param(np.array([-0.5]), 1.0, id="label-below-0"),
        pytest.param(np.array([1.0]), -1.0, id="l2-below-0"),
    ],
)
def test_unusable_rows_are_refused(y: np.ndarray, l2: float) -> None:
    with pytest.raises(ValueError, match="needs rows"):
        fit_logistic(np.ones((len(y), 1)), y, l2=l2)


def test_ridge_refuses_no_rows() -> None:
    with pytest.raises(ValueError, match="needs rows"):
        fit_ridge(np.ones((0, 1)), np.array([]), l2=1.0)


def test_ridge_on_sparse_rows_needs_a_penalty() -> None:
    with pytest.raises(ValueError, match="l2 > 0"):
        fit_ridge_sparse(sparse_rows([[0]], width=1), np.ones(1), l2=0.0)


def test_columns_outside_are_refused() -> None:
    with pytest.raises(ValueError, match="outside"):
        sparse_rows([[4]], width=4)
