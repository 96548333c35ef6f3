"""Fitted trees as plain numbers: one walk, one addition, and nothing that could loop."""

import math

import msgspec
import pytest

from routing.trees import LEAF, Curves, Trees

STUMPS = Trees(0.5, (0, 3), (0, LEAF, LEAF, LEAF), (1.0, 10.0, 20.0, 0.25), (1, 0, 0, 0), (2, 0, 0, 0))


@pytest.mark.parametrize(("x", "value"), [(0.0, 10.75), (1.0, 10.75), (1.1, 20.75), (math.nan, 20.75)])
def test_a_value_is_the_base_and_one_leaf_per_tree(x: float, value: float) -> None:
    assert STUMPS.value([x]) == value


def test_a_feature_too_few_is_an_error() -> None:
    with pytest.raises(IndexError):
        STUMPS.value([])


def test_trees_and_curves_survive_json() -> None:
    curves = Curves(STUMPS, (0.0, 1.0), ((), (1.0, 2.0), (3.0, 4.0), (0.5, 0.5)))
    again = msgspec.json.decode(msgspec.json.encode(curves), type=Curves)
    assert again == curves
    assert again.values([0.0]) == [1.5, 3.5]
    assert again.values([2.0]) == [3.5, 5.5]


@pytest.mark.parametrize(
    ("trees", "message"),
    [
        ((0.0, (0,), (LEAF,), (0.0,), (0, 0), (0,)), "differ in length"),
        ((0.0, (1,), (LEAF,), (0.0,), (0,), (0,)), "root"),
        ((0.0, (0,), (0,), (0.0,), (0,), (0,)), "behind"),
        ((0.0, (0,), (-2, LEAF, LEAF), (0.0,) * 3, (1, 0, 0), (2, 0, 0)), "no feature"),
    ],
    ids=["lengths", "root", "loop", "feature"],
)
def test_trees_that_cannot_be_walked_are_refused(trees: tuple, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Trees(*trees)


@pytest.mark.parametrize("added", [((), (1.0,), (1.0,)), ((), (1.0,), (1.0, 2.0), (1.0,))], ids=["nodes", "knots"])
def test_curves_need_a_value_per_leaf_and_knot(added: tuple) -> None:
    with pytest.raises(ValueError, match="curves"):
        Curves(STUMPS, (0.0,), added)
