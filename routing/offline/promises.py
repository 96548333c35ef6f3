"""Is the promise kept? Many random splits of recorded outcomes: certify on some rows, count what is lost on the others.

`python -m routing.offline.promises FILE` prints the table of docs/routing.md. Per split it certifies for the
expectation (Clopper-Pearson) and for just the rows that follow (horizon: without a coin, with one, and with one at 95 %
of δ); beside them stands the naive threshold, the loosest one without too many losses among the same rows.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from routing.guarantee import certify, lower_bound, upper_bound
from routing.offline.outcomes import OutcomesError, Row, costs_of, read_outcomes

Floats = NDArray[np.float64]

SPLITS = 300
CALIBRATION_ROWS = 500
DELTA = 0.1
ALPHAS = (0.02, 0.05)
CELLS = (
    ("mmlu", "llama3.1-8b", "llama3.1-70b"),
    ("mmlu", "llama3.1-70b", "llama3.1-405b"),
    ("triviaqa", "llama3.1-8b", "llama3.1-70b"),
)
"""Task, weak and strong model of docs/routing.md's table."""
KINDS = ("naive", "expectation", "horizon", "horizon, coin", "with margin")
MARGIN = 0.95
"""Share of δ that "with margin" certifies at: a coin alone uses δ up, and measured rates scatter around it."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Both models' outcomes on the same prompts; arrays of (rows,)."""

    confidence: Floats
    """Of the weak answer, in [0, 1]."""
    loss: Floats
    """max(0, strong score - weak score), in [0, 1]."""
    weak_usd: Floats
    strong_usd: Floats


@dataclass(frozen=True, slots=True)
class Kept:
    """What became of one way to choose a threshold, over all splits."""

    kind: str
    violated: int
    splits: int
    cost: float
    """Mean cost over the cost of always-strong, on the rows that were not calibrated on."""

    @property
    def rate(self) -> float:
        """Share of the splits in which more was lost than promised."""
        return self.violated / self.splits

    @property
    def interval(self) -> tuple[float, float]:
        """Clopper-Pearson, 95 %, of `rate`."""
        return lower_bound(self.violated, self.splits, 0.025), upper_bound(self.violated, self.splits, 0.025)


def pair_of(rows: Sequence[Row], task: str, weak: str, strong: str) -> Pair:
    """The rows of one task. Raises `OutcomesError` where a model, a confidence or a cost is missing."""
    mine = [row for row in rows if row.task == task]
    for row in mine:
        if weak not in row.outcomes or strong not in row.outcomes or row.outcomes[weak].confidence is None:
            raise OutcomesError(f"{row.id}: needs outcomes of {weak} (with its confidence) and of {strong}")
    if not mine:
        raise OutcomesError(f"task: no row of {task!r}")
    scores = np.array([(row.outcomes[weak].score, row.outcomes[strong].score) for row in mine])
    return Pair(
        np.array([row.outcomes[weak].confidence for row in mine], dtype=np.float64),
        np.maximum(0.0, scores[:, 1] - scores[:, 0]),
        np.array(costs_of(mine, weak)),
        np.array(costs_of(mine, strong)),
    )


def naive_threshold(confidence: Floats, loss: Floats, thresholds: Floats, alpha: float) -> float:
    """The loosest of `thresholds` whose mean loss over these rows is at most `alpha`; infinite for none."""
    order = np.argsort(-confidence, kind="stable")
    lost = np.concatenate([[0.0], np.cumsum(loss[order])])
    at = np.searchsorted(-confidence[order], -thresholds, side="right")
    passing = thresholds[lost[at] <= alpha * len(loss) + 1e-9]
    return float(passing.min()) if len(passing) else inf


def measure(
    pair: Pair,
    alpha: float,
    *,
    delta: float = DELTA,
    splits: int = SPLITS,
    rows: int = CALIBRATION_ROWS,
    points: int | None = None,
) -> list[Kept]:
    """One `Kept` per kind. `rows` are calibrated on, all others measured; split k is the permutation of seed k.

    Thresholds are all confidences that occur, or `points` equally spaced quantiles of them: neither looks at a label.
    Raises `ValueError` when no row is left to measure on.
    """
    every = len(pair.loss)
    if rows >= every:
        raise ValueError(f"{every} rows leave none to measure on after {rows} to calibrate")
    grid = np.unique(pair.confidence)
    if points is not None:
        grid = np.unique(np.quantile(pair.confidence, np.linspace(0, 1, points), method="lower"))
    violated, cost = dict.fromkeys(KINDS, 0), dict.fromkeys(KINDS, 0.0)
    for seed in range(splits):
        rng = np.random.default_rng(seed)
        order = rng.permutation(every)
        coin = float(rng.random())
        rest = order[rows:]
        for kind, threshold in _thresholds(pair, order[:rows], grid, alpha, delta, len(rest), coin).items():
            keep = pair.confidence[rest] >= threshold
            violated[kind] += int(pair.loss[rest][keep].sum() > alpha * len(rest) + 1e-9)
            paid = pair.weak_usd[rest].sum() + pair.strong_usd[rest][~keep].sum()
            cost[kind] += paid / pair.strong_usd[rest].sum() / splits
    return [Kept(kind, violated[kind], splits, cost[kind]) for kind in KINDS]


def _thresholds(
    pair: Pair, known: NDArray[np.int64], grid: Floats, alpha: float, delta: float, horizon: int, coin: float
) -> dict[str, float]:
    """What each kind chooses, from the `known` rows alone."""
    confidence, loss = pair.confidence[known], pair.loss[known]
    seen, lost, levels = confidence.tolist(), loss.tolist(), grid.tolist()
    found = (
        naive_threshold(confidence, loss, grid, alpha),
        certify(seen, lost, levels, alpha, delta).threshold,
        certify(seen, lost, levels, alpha, delta, horizon=horizon).threshold,
        certify(seen, lost, levels, alpha, delta, horizon=horizon, coin=coin).threshold,
        certify(seen, lost, levels, alpha, MARGIN * delta, horizon=horizon, coin=coin).threshold,
    )
    return dict(zip(KINDS, found, strict=True))


def main(arguments: Sequence[str] | None = None) -> int:
    """The table for the cells of docs/routing.md."""
    parser = argparse.ArgumentParser(prog="python -m routing.offline.promises", description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--splits", type=int, default=SPLITS)
    parser.add_argument("--rows", type=int, default=CALIBRATION_ROWS)
    parser.add_argument("--delta", type=float, default=DELTA)
    parser.add_argument("--points", type=int, default=None, help="thresholds; default: every confidence that occurs")
    options = parser.parse_args(arguments)
    rows = read_outcomes([options.file])
    for cell in CELLS:
        pair = pair_of(rows, *cell)
        for alpha in ALPHAS:
            kept = measure(
                pair,
                alpha,
                delta=options.delta,
                splits=options.splits,
                rows=options.rows,
                points=options.points,
            )
            print("\n".join(lines(f"{cell[0]} {cell[1]} to {cell[2]}, alpha {alpha:.0%}", kept)))
    return 0


def lines(title: str, kept: Sequence[Kept]) -> list[str]:
    """The table's rows for one cell; the premium is over the naive threshold, in points of always-strong."""
    naive = kept[0].cost
    return [title] + [
        f"  {one.kind:14s} violated {one.rate:6.1%} [{one.interval[0]:.1%}, {one.interval[1]:.1%}]"
        f"  cost {one.cost:.3f}  premium {100 * (one.cost - naive):+5.1f}"
        for one in kept
    ]


if __name__ == "__main__":  # pragma: no cover
    raise SystemExit(main())
