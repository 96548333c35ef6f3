"""Boosted regression trees as plain numbers: the runtime form of what `routing.offline.boosting` fits.

Pure Python: a value is one walk per tree and one addition, in the order of the trees, so that a replay adds the same
floats in the same order. Knows nothing of what its features or values mean.
"""

from collections.abc import Sequence

import msgspec

LEAF = -1
"""Stands in place of a feature where a tree ends."""


class Trees(msgspec.Struct, frozen=True):
    """Nodes of all trees in one list; children stand behind their parent. Raises `ValueError` if they do not."""

    base: float
    """What no tree has added to yet."""
    roots: tuple[int, ...]
    """The first node of each tree."""
    feature: tuple[int, ...]
    """Per node: the index of the feature it asks for, or `LEAF`."""
    number: tuple[float, ...]
    """Per node: go left if the feature is at most this; of a leaf: what it adds."""
    left: tuple[int, ...]
    right: tuple[int, ...]
    """Per node: its children; 0 in a leaf."""

    def __post_init__(self) -> None:
        size = len(self.feature)
        if not len(self.number) == len(self.left) == len(self.right) == size:
            raise ValueError("trees: feature, number, left and right differ in length")
        if any(not 0 <= root < size for root in self.roots):
            raise ValueError("trees: a root is not among the nodes")
        for at, feature in enumerate(self.feature):
            if feature != LEAF and not (feature >= 0 and at < self.left[at] < size and at < self.right[at] < size):
                raise ValueError(f"trees: node {at} has a child that does not stand behind it, or no feature")

    def value(self, features: Sequence[float]) -> float:
        """Of one row; log-odds where the loss was "log". NaN goes right. Raises `IndexError` if one is missing."""
        number, total = self.number, self.base
        for leaf in self.leaves(features):
            total += number[leaf]
        return total

    def leaves(self, features: Sequence[float]) -> list[int]:
        """The node at which this row ends in each tree."""
        feature, number, left, right = self.feature, self.number, self.left, self.right
        ends = []
        for at in self.roots:
            asked = feature[at]
            while asked >= 0:
                at = left[at] if features[asked] <= number[at] else right[at]
                asked = feature[at]
            ends.append(at)
        return ends


class Curves(msgspec.Struct, frozen=True):
    """Trees with one value per knot in every leaf: whole curves from one walk."""

    trees: Trees
    """Which leaf; the numbers in its leaves are the means over the knots."""
    base: tuple[float, ...]
    """Per knot, what no tree has added to yet."""
    added: tuple[tuple[float, ...], ...]
    """Per node what a leaf adds at each knot; empty where a tree goes on."""

    def __post_init__(self) -> None:
        if len(self.added) != len(self.trees.feature):
            raise ValueError("curves: not one entry per node")
        knots = len(self.base)
        for feature, added in zip(self.trees.feature, self.added, strict=True):
            if len(added) != (knots if feature == LEAF else 0):
                raise ValueError(f"curves: a leaf needs {knots} values, and nothing else has any")

    def values(self, features: Sequence[float]) -> list[float]:
        """One per knot."""
        totals = [*self.base]
        for leaf in self.trees.leaves(features):
            totals = [total + more for total, more in zip(totals, self.added[leaf], strict=True)]
        return totals
