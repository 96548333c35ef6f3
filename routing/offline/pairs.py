"""A router between two models measured: APGR, CPT, AUROC, each with a 95 % bootstrap interval over prompts.

A router is its needs (higher: more reason for the strong model) on rows it has not learned from, in one part per
measurement: all rows at once where folds are pooled, one part per draw where few labels are drawn; values are means
over parts. Definitions: RouteLLM (arXiv 2406.18665), docs/routing.md.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from routing.offline.baselines import lengths, random_needs, task_ids, task_means
from routing.offline.metrics import RESAMPLES, Curve, Floats, auroc, curve
from routing.offline.outcomes import Row
from routing.offline.splits import Indices, Split


@dataclass(frozen=True, slots=True)
class Part:
    """Needs (rows,) of the rows with these indices."""

    rows: Indices
    need: Floats


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value with its 95 % interval; both ends NaN where none was computed."""

    value: float
    low: float = float("nan")
    high: float = float("nan")


@dataclass(frozen=True, slots=True)
class PairResult:
    """One router between two models."""

    name: str
    apgr: Estimate
    cpt50: Estimate
    """Least share of strong calls that recovers 50 % of the gap, %; NaN where the curve never gets there."""
    cpt80: Estimate
    auroc: Estimate
    """Of the need as a sign that the weak answer is wrong (score < 0.5)."""
    share: Floats
    quality: Floats
    """The curve, interpolated to the same shares for all routers."""


Learner = Callable[[Split], Floats]
"""Needs of the split's test rows, learned from its training rows."""

SHARES = np.linspace(0, 1, 11)
_METRICS = 4


def pooled(learn: Learner, splits: Sequence[Split], *, draws: bool) -> list[Part]:
    """The parts of a learned router: one per split with `draws`, else all folds as one, in the order of rows."""
    parts = [Part(split.test, learn(split)) for split in splits]
    if draws:
        return parts
    rows = np.concatenate([part.rows for part in parts])
    order = np.argsort(rows)
    return [Part(rows[order], np.concatenate([part.need for part in parts])[order])]


def measure_pair(
    name: str, parts: Sequence[Part], weak: Floats, strong: Floats, *, seed: int = 0, resamples: int = RESAMPLES
) -> PairResult:
    """`weak`, `strong`: (rows,) scores of all rows. Raises `ValueError` when there is no gap to recover."""
    found = _means(parts, weak, strong, None)
    curves = [curve(weak[part.rows], strong[part.rows], part.need) for part in parts]
    quality = np.mean([np.interp(SHARES, one.share, one.quality) for one in curves], axis=0)
    rng = np.random.default_rng(seed)
    count = len(weak)
    again = [_means(parts, weak, strong, np.bincount(rng.integers(0, count, count))) for _ in range(resamples)]
    low, high = _percentiles(np.array(again).reshape(-1, _METRICS))
    apgr, cpt50, cpt80, area = (Estimate(*three) for three in zip(found, low, high, strict=True))
    return PairResult(name, apgr, cpt50, cpt80, area, SHARES, quality)


def _percentiles(values: Floats) -> tuple[list[float], list[float]]:
    """Per column, over the resamples in which it exists."""
    columns = [column[~np.isnan(column)] for column in values.T]
    ends = [np.percentile(column, [2.5, 97.5]) if len(column) else (np.nan, np.nan) for column in columns]
    return [float(low) for low, _ in ends], [float(high) for _, high in ends]


def _means(
    parts: Sequence[Part], weak: Floats, strong: Floats, counts: NDArray[np.int64] | None
) -> tuple[float, float, float, float]:
    """APGR, CPT50, CPT80, AUROC as means over parts; `counts`: how often a resample has each row."""
    found = np.array([_values(part, weak, strong, counts) for part in parts])
    apgr, cpt50, cpt80, area = found.mean(axis=0)
    return float(apgr), float(cpt50), float(cpt80), float(area)


def _values(
    part: Part, weak: Floats, strong: Floats, counts: NDArray[np.int64] | None
) -> tuple[float, float, float, float]:
    rows, need = part.rows, part.need
    if counts is not None:
        often = np.pad(counts, (0, len(weak) - len(counts)))[rows]
        rows, need = np.repeat(rows, often), np.repeat(need, often)
        if not len(rows) or strong[rows].mean() <= weak[rows].mean():
            return float("nan"), float("nan"), float("nan"), float("nan")
    found: Curve = curve(weak[rows], strong[rows], need)
    return found.apgr, found.cpt(50), found.cpt(80), auroc(need, weak[rows] < 0.5)


def random_result(weak: Floats, strong: Floats, *, seed: int = 0) -> tuple[PairResult, float]:
    """Random routing, mean over draws, and the standard deviation of its APGR over them."""
    everyone = np.arange(len(weak))
    needs = random_needs(len(weak), seed=seed)
    parts = [Part(everyone, need) for need in needs]
    draws = np.array([_values(part, weak, strong, None)[0] for part in parts])
    spread = float(draws.std(ddof=1))
    found = measure_pair("random", parts, weak, strong, resamples=0)
    low, high = np.percentile(draws, [2.5, 97.5])
    apgr = Estimate(found.apgr.value, float(low), float(high))
    return PairResult("random", apgr, found.cpt50, found.cpt80, found.auroc, found.share, found.quality), spread


def baseline_parts(
    rows: Sequence[Row], weak: Floats, strong: Floats, splits: Sequence[Split], *, draws: bool
) -> dict[str, list[Part]]:
    """Length, task identity (where there is more than one task) and oracle, on the rows of `splits`."""
    length, tasks, gain = lengths(rows), task_ids(rows), strong - weak
    learners: dict[str, Learner] = {"prompt length": lambda split: length[split.test]}
    if tasks.max() > 0:
        learners["task identity"] = lambda split: task_means(gain, tasks, split.train, split.test)
    learners["oracle"] = lambda split: gain[split.test]
    return {name: pooled(learn, splits, draws=draws) for name, learn in learners.items()}
