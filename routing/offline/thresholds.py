"""A pair of models calibrated on recorded outcomes: what a confidence means, and a threshold with a promise.

Reads the weak answer's recorded confidence. The map from it to a probability is fitted per task and shrunk towards all
rows; the threshold is certified on the raw confidence (docs/routing.md "The promise").
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from routing.calibration import SlicedCalibration, fit_sliced
from routing.guarantee import Certificate, certify, least_rows
from routing.offline.metrics import auroc, calibration_error
from routing.offline.outcomes import OutcomesError, Row, check_models, costs_of
from routing.offline.splits import k_folds

FOLDS = 5
LEAST_AUROC = 0.65
"""Evidence below it says too little to cascade on."""


@dataclass(frozen=True, slots=True)
class Calibrated:
    """What `calibrate` found."""

    certificate: Certificate
    calibration: SlicedCalibration
    rows: int
    kept: float
    """Share of the weak answers at or above the threshold."""
    auroc: float
    """Of the confidence as a sign that the weak answer is right (score at least 0.5)."""
    error_before: float
    """Expected calibration error of the raw confidence."""
    error_after: float
    """Of the mapped one, out of fold."""
    cost: float | None
    """Of the cascade as a share of always-strong; None where the rows have no costs."""


def calibrate(rows: Sequence[Row], weak: str, strong: str, *, alpha: float, delta: float) -> Calibrated:
    """`alpha`: most that may be lost by keeping weak answers, over all traffic, with probability 1 - `delta`.

    Raises `OutcomesError` for rows without confidence and for too few of them, naming how many it takes.
    """
    check_models(rows, [weak, strong])
    for name, value in (("--alpha", alpha), ("--delta", delta)):
        if not 0.0 < value < 1.0:
            raise OutcomesError(f"{name}: {value} is not between 0 and 1")
    confidence, label = _read(rows, weak)
    needed = max(least_rows(alpha, delta), 2 * FOLDS)
    if len(rows) < needed:
        raise OutcomesError(f"{len(rows)} rows cannot certify alpha {alpha} at delta {delta}; give at least {needed}")
    losses = [max(0.0, row.outcomes[strong].score - row.outcomes[weak].score) for row in rows]
    certificate = certify(confidence, losses, sorted(set(confidence)), alpha, delta)
    tasks = [row.task for row in rows]
    kept = np.array(confidence) >= certificate.threshold
    return Calibrated(
        certificate=certificate,
        calibration=fit_sliced(confidence, label, tasks),
        rows=len(rows),
        kept=float(kept.mean()),
        auroc=auroc(np.array(confidence), np.array(label) >= 0.5),
        error_before=calibration_error(np.array(confidence), np.array(label)),
        error_after=_error_after(confidence, label, tasks),
        cost=_cost(rows, weak, strong, [not one for one in kept]),
    )


def _read(rows: Sequence[Row], weak: str) -> tuple[list[float], list[float]]:
    confidences = []
    for row in rows:
        confidence = row.outcomes[weak].confidence
        if confidence is None:
            raise OutcomesError(
                f"{row.id}: outcomes.{weak}.confidence is missing; record it in [0, 1] for every answer"
            )
        confidences.append(confidence)
    return confidences, [row.outcomes[weak].score for row in rows]


def _error_after(confidence: Sequence[float], label: Sequence[float], tasks: Sequence[str]) -> float:
    mapped = np.empty(len(label))
    for split in k_folds(len(label), FOLDS):
        train = split.train.tolist()
        fitted = fit_sliced([confidence[at] for at in train], [label[at] for at in train], [tasks[at] for at in train])
        mapped[split.test] = [fitted.probability(confidence[at], tasks[at]) for at in split.test.tolist()]
    return calibration_error(mapped, np.array(label))


def _cost(rows: Sequence[Row], weak: str, strong: str, escalated: Sequence[bool]) -> float | None:
    if any(row.outcomes[model].cost_usd is None for row in rows for model in (weak, strong)):
        return None
    always = costs_of(rows, strong)
    paid = sum(cost for cost, up in zip(always, escalated, strict=True) if up) + sum(costs_of(rows, weak))
    return paid / sum(always)
