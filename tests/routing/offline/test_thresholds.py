"""A pair is calibrated on its rows, or refused with what is missing."""

import math

import msgspec
import pytest

from routing.offline.outcomes import OutcomesError, Row
from routing.offline.thresholds import calibrate
from tests.routing.offline.outcome_rows import confident, outcome_rows

ROWS = confident(outcome_rows(400))


def test_a_threshold_keeps_its_promise_on_other_rows_and_saves_money() -> None:
    found = calibrate(ROWS, "small", "large", alpha=0.05, delta=0.1)
    assert found.certificate.bound <= 0.05
    assert 0.2 < found.kept < 0.9
    assert found.cost is not None
    assert found.cost == pytest.approx(1 - found.kept + 0.05, abs=1e-9)  # the weak one costs a twentieth
    later = confident(outcome_rows(4000, seed=7), seed=7)
    kept = [row for row in later if (row.outcomes["small"].confidence or 0.0) >= found.certificate.threshold]
    lost = sum(row.outcomes["large"].score - row.outcomes["small"].score for row in kept)
    assert lost / len(later) <= 0.05


def test_the_map_mends_what_the_confidence_overrates() -> None:
    found = calibrate(ROWS, "small", "large", alpha=0.05, delta=0.1)
    assert found.error_after < found.error_before
    assert found.auroc > 0.9
    assert set(found.calibration.slices) == {"easy", "hard"}


def test_without_costs_there_is_no_saving_to_name() -> None:
    rows = confident(outcome_rows(100, costs=False))
    assert calibrate(rows, "small", "large", alpha=0.1, delta=0.1).cost is None


def test_nothing_is_kept_when_nothing_can_be_certified() -> None:
    rows = [
        msgspec.structs.replace(
            row, outcomes=row.outcomes | {"small": msgspec.structs.replace(row.outcomes["small"], confidence=0.5)}
        )
        for row in ROWS
    ]
    found = calibrate(rows, "small", "large", alpha=0.05, delta=0.1)
    assert math.isinf(found.certificate.threshold)
    assert found.kept == 0.0


@pytest.mark.parametrize(
    ("rows", "alpha", "delta", "named"),
    [
        (outcome_rows(60), 0.05, 0.1, "outcomes.small.confidence is missing; record it"),
        (ROWS[:40], 0.05, 0.1, "40 rows cannot certify alpha 0.05 at delta 0.1; give at least 45"),
        (ROWS, 0.0, 0.1, "--alpha: 0.0 is not between 0 and 1"),
        (ROWS, 0.1, 1.0, "--delta: 1.0 is not between 0 and 1"),
    ],
    ids=["confidence", "rows", "alpha", "delta"],
)
def test_what_cannot_be_calibrated_is_refused(rows: list[Row], alpha: float, delta: float, named: str) -> None:
    with pytest.raises(OutcomesError, match=named):
        calibrate(rows, "small", "large", alpha=alpha, delta=delta)
