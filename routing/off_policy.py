"""What another policy would have been worth, from the log of one that drew some of its choices. docs/routing.md.

Inverse propensity scoring and its doubly robust form (Dudík, Langford and Li, arXiv 1103.4601), the effective number of
rows, and intervals. Pure. Holds only where every choice the new policy makes had a propensity above 0.
"""

from collections.abc import Sequence
from math import fsum, sqrt

import msgspec

LEAST_ROWS = 200.0
"""Effective rows below which nothing is promoted."""
_Z = 1.959963984540054
"""Of 95 %, two-sided."""


class Logged(msgspec.Struct, frozen=True):
    """One decision of the log, seen from a policy π that did not make it."""

    score: float
    """Of the answer that was served, in [0, 1]."""
    propensity: float
    """μ(a): with which probability the logging policy chose what it chose, in (0, 1]."""
    share: float
    """π(a): with which probability π would have chosen the same; 1 or 0 for one without chance."""
    served: float = 0.0
    """ŷ_a: the score that was expected of what was served."""
    expected: float = 0.0
    """ŷ_π: the score that is expected of what π would have served."""


class Estimate(msgspec.Struct, frozen=True):
    """A mean score with its 95 % interval (normal, of the mean)."""

    value: float
    low: float
    high: float
    effective_rows: float


def weights(rows: Sequence[Logged]) -> list[float]:
    """u = π(a) / μ(a) per row. Raises `ValueError` for a propensity outside (0, 1]."""
    if not all(0.0 < row.propensity <= 1.0 for row in rows):
        raise ValueError("a logged propensity must lie in (0, 1]")
    return [row.share / row.propensity for row in rows]


def effective_rows(u: Sequence[float]) -> float:
    """(Σu)² / Σu²: how many rows of equal weight tell as much; 0 for none."""
    squares = fsum(weight * weight for weight in u)
    return fsum(u) ** 2 / squares if squares else 0.0


def ips(rows: Sequence[Logged]) -> Estimate:
    """mean(u · y): unbiased, and noisy. Raises `ValueError` for fewer than two rows."""
    u = weights(rows)
    return _estimate([weight * row.score for weight, row in zip(u, rows, strict=True)], u)


def doubly_robust(rows: Sequence[Logged]) -> Estimate:
    """mean(ŷ_π + u·(y - ŷ_a)): unbiased whatever ŷ is, and quiet when ŷ is good. Raises as `ips`."""
    u = weights(rows)
    return _estimate(_robust(rows, u), u)


def difference(new: Sequence[Logged], old: Sequence[Logged]) -> Estimate:
    """Doubly robust value of one policy minus that of another over the same log, paired by row.

    `effective_rows` is the lesser of both. Raises `ValueError` for logs of unequal length.
    """
    ours, theirs = weights(new), weights(old)
    pairs = zip(_robust(new, ours), _robust(old, theirs), strict=True)
    gap = _estimate([a - b for a, b in pairs], ours)
    return msgspec.structs.replace(gap, effective_rows=min(gap.effective_rows, effective_rows(theirs)))


def may_promote(gap: Estimate) -> bool:
    """Is the new policy better with 95 % confidence, on enough rows?"""
    return gap.low > 0.0 and gap.effective_rows >= LEAST_ROWS


def _robust(rows: Sequence[Logged], u: Sequence[float]) -> list[float]:
    return [row.expected + weight * (row.score - row.served) for weight, row in zip(u, rows, strict=True)]


def _estimate(values: Sequence[float], u: Sequence[float]) -> Estimate:
    n = len(values)
    if n < 2:
        raise ValueError(f"{n} rows: an interval needs at least two")
    mean = fsum(values) / n
    half = _Z * sqrt(fsum((value - mean) ** 2 for value in values) / (n - 1) / n)
    return Estimate(mean, mean - half, mean + half, effective_rows(u))
