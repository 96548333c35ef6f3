"""Evaluation and its report: every baseline beside every result, dollars where there are any, clear refusals."""

import json
import math
from typing import Any

import pytest

from routing.offline.evaluate import Evaluation, evaluate
from routing.offline.outcomes import OutcomesError
from routing.offline.report import as_json, cost_at, picture, tables
from routing.offline.routers import PROMPT
from tests.routing.offline.outcome_rows import MODELS, PRICES, outcome_rows

BASELINES = {"random", "prompt length", "task identity", "oracle"}


def measured(*models: str, costs: bool = True, count: int = 60, **more: Any) -> Evaluation:
    """Baselines alone unless asked otherwise: what is learned takes its time."""
    return evaluate(outcome_rows(count, costs=costs), models, resamples=5, **{"learned": False} | more)


def test_what_is_learned_stands_between_the_baselines() -> None:
    names = [one.name for one in measured("small", "large", learned=True).pair]
    assert names == ["random", "prompt length", "task identity", PROMPT, "oracle"]
    assert [one.name for one in measured(*MODELS, learned=True).pool][-1] == "oracle"


def test_two_models_with_costs_are_measured_both_ways() -> None:
    found = measured("small", "large")
    assert {one.name for one in found.pair} >= BASELINES
    assert {one.name for one in found.pool} >= BASELINES | {"linear (single models)"}
    assert found.models[1].cost_usd == pytest.approx(PRICES["large"])
    assert 0 < found.random_sd < 0.2
    assert found.notes == ()


def test_two_models_without_costs_have_no_dollars_and_say_so() -> None:
    found = measured("small", "large", costs=False)
    assert found.pool == ()
    assert found.models[0].cost_usd is None
    assert "--price" in found.notes[0]
    assert cost_at(found, found.pair[0], 50.0) is None
    assert "calls sent to large, %" in picture(found)


def test_three_models_are_measured_by_cost_alone() -> None:
    found = measured(*MODELS)
    assert found.pair == ()
    assert math.isnan(found.random_sd)
    areas = {one.name: one.area.value for one in found.pool}
    assert areas["oracle"] > areas["task identity"]
    assert "USD per 1,000 requests" in picture(found)


def test_a_stated_price_stands_in_for_missing_costs() -> None:
    found = measured("small", "large", costs=False, priced={"small": 0.001, "large": 0.01})
    assert [model.cost_usd for model in found.models] == pytest.approx([0.001, 0.01])
    oracle = next(one for one in found.pair if one.name == "oracle")
    assert cost_at(found, oracle, 50.0) == pytest.approx(0.0055)
    assert cost_at(found, oracle, math.nan) is None


def test_few_labels_are_drawn_and_the_rest_measured() -> None:
    found = measured("small", "large", labels=40)
    assert found.protocol.startswith("40 labels")
    assert any("learns from 40" in note for note in found.notes)


def test_one_task_is_said() -> None:
    found = evaluate(outcome_rows(60, tasks=1), ("small", "large"), resamples=2, learned=False)
    assert any("one task" in note for note in found.notes)
    assert "task identity" not in {one.name for one in (*found.pair, *found.pool)}


def test_the_same_seed_gives_the_same_report() -> None:
    assert as_json(measured(*MODELS), ["f"]) == as_json(measured(*MODELS), ["f"])


@pytest.mark.parametrize(
    ("models", "more", "named"),
    [
        (("small",), {}, "--models: small: name at least two"),
        ((), {}, "--models: none: name at least two"),
        (("small", "huge"), {}, "has no outcome of 'huge'; it has large, middle, small"),
        (("large", "small"), {}, "--models: small .* is not better than large"),
        (("small", "large"), {"labels": 0}, "--labels: 0 of 60 rows; give 1 to 48"),
        (("small", "large"), {"labels": 49}, "--labels: 49 of 60 rows"),
        (("small", "large"), {"count": 9}, "9 rows: give at least 10"),
        (("small", "large"), {"priced": {"huge": 1.0}}, "--price: 'huge' is not one of --models small,large"),
        (("small", "large"), {"priced": {"large": -1.0}}, "--price: large=-1.0 is no price"),
        (("small", "large"), {"priced": {"small": 1.0}}, "cost_usd: large costs 0.002 USD, small 1: .*--price large="),
        (MODELS, {"costs": False}, "cost_usd is missing; state a price with --price small=USD"),
    ],
    ids=["one", "none", "unknown", "order", "labels", "labels-all", "rows", "priced", "price", "dearer", "costs"],
)
def test_what_cannot_be_measured_is_refused(models: tuple[str, ...], more: dict[str, Any], named: str) -> None:
    with pytest.raises(OutcomesError, match=named):
        measured(*models, **more)


def test_tables_show_models_routers_and_costs() -> None:
    found = measured("small", "large")
    models, pair, pool = tables(found)
    assert models.rows[-1] == ("large", f"{found.models[1].score:.4f}", "2", "best single, always strong")
    assert pair.rows[0][0].startswith("random (sd 0.")
    assert all(len(row) == len(table.headings) for table in (models, pair, pool) for row in table.rows)
    assert [row[0] for row in pool.rows][-1] == "oracle"


def test_tables_without_costs_have_dashes() -> None:
    models, pair = tables(measured("small", "large", costs=False))
    assert models.rows[0][2] == "-"
    assert pair.rows[0][-1] == "-"


def test_an_interval_that_was_not_computed_is_not_shown() -> None:
    found = evaluate(outcome_rows(30), MODELS, resamples=0)
    cells = [row[1] for row in tables(found)[1].rows if row[0] != "random"]
    assert all("[" not in cell for cell in cells)


def test_json_is_plain_and_without_nan() -> None:
    for found in (measured("small", "large"), measured(*MODELS), measured("small", "large", costs=False)):
        text = json.dumps(as_json(found, ["rows.jsonl"]), allow_nan=False)
        read = json.loads(text)
        assert read["files"] == ["rows.jsonl"]
        assert [one["name"] for one in read["models"]] == [model.name for model in found.models]
        assert len(read["routers"]) == len(found.pair)
        assert len(read["by_cost"]) == len(found.pool)
