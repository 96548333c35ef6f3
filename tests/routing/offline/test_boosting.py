"""Boosted trees: they learn, keep their limits, and say the same as arrays and as plain numbers."""

import numpy as np
import pytest

from routing.offline.boosting import BINS, Loss, curves_of, fit_curves, fit_trees, values_of
from routing.trees import LEAF

RNG = np.random.default_rng(3)
X = np.round(RNG.normal(size=(600, 4)), 2)
TRUTH = np.sin(2 * X[:, 0]) + X[:, 1] * (X[:, 2] > 0)
SETTINGS = {"rounds": 20, "leaves": 5, "rate": 0.2, "min_rows": 20}


def test_trees_explain_what_depends_on_two_features_at_once() -> None:
    trees = fit_trees(X, TRUTH, loss="squared", **SETTINGS)
    assert np.mean((values_of(trees, X) - TRUTH) ** 2) < 0.25 * TRUTH.var()


def test_log_odds_of_soft_labels() -> None:
    label = np.where(X[:, 0] > 0, 0.9, 0.2)
    p = 1 / (1 + np.exp(-values_of(fit_trees(X, label, loss="log", **SETTINGS), X)))
    clear = np.abs(X[:, 0]) > 0.1  # nearer to the step a bin may hold both sides of it
    assert p[clear] == pytest.approx(label[clear], abs=0.05)


def test_labels_that_are_all_alike_stay_finite() -> None:
    assert np.isfinite(values_of(fit_trees(X, np.ones(600), loss="log", **SETTINGS), X)).all()


@pytest.mark.parametrize("loss", ["squared", "log"])
def test_arrays_and_plain_numbers_agree_bit_for_bit_and_so_does_a_second_fit(loss: Loss) -> None:
    label = (TRUTH > 0).astype(float)
    trees = fit_trees(X, label, loss=loss, **SETTINGS)
    assert trees == fit_trees(X, label, loss=loss, **SETTINGS)
    assert [trees.value(row) for row in X.tolist()] == values_of(trees, X).tolist()


def test_rows_of_no_weight_do_not_count() -> None:
    weight = (X[:, 3] > 0).astype(float)
    spoilt = np.where(weight > 0, TRUTH, 99.0)
    assert np.abs(values_of(fit_trees(X, spoilt, loss="squared", weights=weight, **SETTINGS), X)).max() < 5


def test_a_tree_has_no_more_leaves_and_no_fewer_rows_in_one_than_asked() -> None:
    trees = fit_trees(X, TRUTH, loss="squared", rounds=1, leaves=50, rate=1.0, min_rows=100)
    assert 2 <= trees.feature.count(LEAF) <= 6
    values, counts = np.unique(values_of(trees, X), return_counts=True)
    assert len(values) >= 2
    assert counts.min() >= 100


def test_nothing_to_split_is_one_leaf() -> None:
    assert fit_trees(np.ones((50, 2)), np.arange(50.0), loss="squared", **SETTINGS).feature == (LEAF,) * 20


def test_many_values_share_bins() -> None:
    x = np.arange(1000.0)[:, None]
    trees = fit_trees(x, (x[:, 0] >= 500) * 1.0, loss="squared", rounds=1, leaves=2, rate=1.0, min_rows=1)
    assert abs(trees.number[0] - 499.5) <= 1000 / BINS


def test_curves_have_one_structure_and_a_value_per_knot() -> None:
    y = np.column_stack([TRUTH, 2 * TRUTH, 0 * TRUTH])
    curves = fit_curves(X, y, **SETTINGS)
    found = curves_of(curves, X)
    assert found.shape == (600, 3)
    assert found[:, 1] == pytest.approx(2 * found[:, 0], abs=1e-9)
    assert found[:, 2] == pytest.approx(0, abs=1e-9)
    assert [curves.values(row) for row in X[:50].tolist()] == found[:50].tolist()


@pytest.mark.parametrize(
    ("x", "y", "weight"),
    [(X[:, 0], TRUTH, None), (X[:9], TRUTH, None), (X, TRUTH, np.ones(9)), (X, TRUTH, np.zeros(600))],
    ids=["flat", "rows", "weights", "no-weight"],
)
def test_arrays_that_do_not_fit_together_are_refused(x: np.ndarray, y: np.ndarray, weight: np.ndarray | None) -> None:
    with pytest.raises(ValueError, match="do not fit together"):
        fit_trees(x, y, loss="squared", weights=weight, **SETTINGS)
