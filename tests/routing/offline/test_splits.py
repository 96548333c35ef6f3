"""Splits: disjoint, seeded, complete."""

import numpy as np
import pytest

from routing.offline.splits import k_folds, label_draws


def test_folds_cover_every_row_once_and_never_train_on_it() -> None:
    splits = k_folds(23, 5, seed=4)
    assert sorted(np.concatenate([split.test for split in splits])) == list(range(23))
    assert {len(split.test) for split in splits} == {4, 5}
    for split in splits:
        assert sorted([*split.train, *split.test]) == list(range(23))
    assert all((a.test == b.test).all() for a, b in zip(splits, k_folds(23, 5, seed=4), strict=True))
    assert any((a.test != b.test).any() for a, b in zip(k_folds(25), k_folds(25, seed=1), strict=True))


def test_draws_take_the_first_labels_of_a_permutation() -> None:
    splits = label_draws(10, 3)
    assert [len(split.train) for split in splits] == [3, 3, 3]
    assert all(sorted([*split.train, *split.test]) == list(range(10)) for split in splits)
    assert (splits[1].train == np.random.default_rng(1).permutation(10)[:3]).all()


@pytest.mark.parametrize("labels", [0, 10, 11])
def test_draws_leave_rows_on_both_sides(labels: int) -> None:
    with pytest.raises(ValueError, match=f"{labels} labels of 10 rows"):
        label_draws(10, labels)


def test_too_few_rows_for_the_folds() -> None:
    with pytest.raises(ValueError, match="4 rows cannot make 5 folds"):
        k_folds(4)
