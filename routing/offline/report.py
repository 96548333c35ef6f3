"""An evaluation as tables, as JSON and as a picture. Numbers in, text out; measures nothing.

What could not be computed is a dash in tables and null in JSON.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from routing.offline.evaluate import Evaluation
from routing.offline.pairs import Estimate, PairResult
from routing.offline.plot import Line, svg
from routing.offline.pools import PoolResult

BASELINES = frozenset({"random", "prompt length", "task identity", "linear (single models)", "oracle"})
_ABSENT = "-"


@dataclass(frozen=True, slots=True)
class TextTable:
    """Cells as they are shown."""

    title: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def tables(found: Evaluation) -> list[TextTable]:
    """The models, then routers between two models, then routers by cost."""
    parts = [_models(found)]
    if found.pair:
        parts.append(_pair(found))
    if found.pool:
        parts.append(_pool(found))
    return parts


def _models(found: Evaluation) -> TextTable:
    marks = [""] * (len(found.models) - 1) + ["best single, always strong"]
    rows = tuple(
        (model.name, f"{model.score:.4f}", _usd(model.cost_usd), mark)
        for model, mark in zip(found.models, marks, strict=True)
    )
    return TextTable(f"{found.rows} prompts; {found.protocol}", ("model", "score", "USD per 1k", ""), rows)


def _pair(found: Evaluation) -> TextTable:
    headings = ("router", "APGR [95% CI]", "CPT50 %", "CPT80 %", "AUROC", "USD per 1k at CPT50", "at CPT80")
    rows = [
        (
            _named(one.name, found.random_sd),
            _interval(one.apgr),
            _number(one.cpt50.value, ".1f"),
            _number(one.cpt80.value, ".1f"),
            _number(one.auroc.value, ".3f"),
            _usd(cost_at(found, one, one.cpt50.value)),
            _usd(cost_at(found, one, one.cpt80.value)),
        )
        for one in found.pair
    ]
    return TextTable("Between two models", headings, tuple(rows))


def _named(name: str, spread: float) -> str:
    return f"random (sd {spread:.3f})" if name == "random" else name


def cost_at(found: Evaluation, router: PairResult, percent: float) -> float | None:
    """USD per request with this share of strong calls, %; a cascade pays the weak call always. None without costs."""
    weak, strong = (found.models[at].cost_usd for at in (0, -1))
    if weak is None or strong is None or math.isnan(percent):
        return None
    share = percent / 100
    return share * strong + (weak if router.name in found.cascades else (1 - share) * weak)


def _pool(found: Evaluation) -> TextTable:
    asked = [at.asked for at in found.pool[0].cost_at]
    headings = ("router", "cost-quality area [95% CI]", "plain hull", *(f"cost at {one:.0%} (got)" for one in asked))
    rows = tuple(
        (
            one.name,
            _interval(one.area),
            f"{one.plain_area:.3f}",
            *(f"{at.cost:.2f}x ({at.quality:.2%})" for at in one.cost_at),
        )
        for one in found.pool
    )
    strong = _usd(found.models[-1].cost_usd)
    return TextTable(f"By cost, {strong} USD per 1k for {found.models[-1].name} = 1x", headings, rows)


def _interval(value: Estimate) -> str:
    if math.isnan(value.low):
        return _number(value.value, ".3f")
    return f"{value.value:.3f} [{value.low:.3f}, {value.high:.3f}]"


def _number(value: float, form: str) -> str:
    return _ABSENT if math.isnan(value) else format(value, form)


def _usd(per_request: float | None) -> str:
    return _ABSENT if per_request is None else f"{per_request * 1000:.4g}"


def as_json(found: Evaluation, files: Sequence[str]) -> dict[str, Any]:
    """Everything, in plain types. Costs in USD per request, shares of calls in %."""
    return {
        "files": list(files),
        "prompts": found.rows,
        "protocol": found.protocol,
        "models": [{"name": model.name, "score": model.score, "cost_usd": model.cost_usd} for model in found.models],
        "routers": [_pair_json(found, one) for one in found.pair],
        "by_cost": [_pool_json(one) for one in found.pool],
        "notes": list(found.notes),
    }


def _pair_json(found: Evaluation, one: PairResult) -> dict[str, Any]:
    return {
        "name": one.name,
        "baseline": one.name in BASELINES,
        "reads_answer": one.name in found.cascades,
        "apgr": _estimate(one.apgr) | ({"sd": found.random_sd} if one.name == "random" else {}),
        "cpt50": _estimate(one.cpt50),
        "cpt80": _estimate(one.cpt80),
        "auroc": _estimate(one.auroc),
        "cost_usd_at_cpt50": cost_at(found, one, one.cpt50.value),
        "cost_usd_at_cpt80": cost_at(found, one, one.cpt80.value),
        "curve": {"share": one.share.tolist(), "score": one.quality.tolist()},
    }


def _pool_json(one: PoolResult) -> dict[str, Any]:
    return {
        "name": one.name,
        "baseline": one.name in BASELINES,
        "area": _estimate(one.area),
        "area_plain_hull": one.plain_area,
        "cost_at": [{"asked": at.asked, "cost": at.cost, "quality": at.quality} for at in one.cost_at],
        "curve": {"cost_usd": one.cost.tolist(), "score": one.quality.tolist()},
    }


def _estimate(value: Estimate) -> dict[str, float | None]:
    fields = {"value": value.value, "low": value.low, "high": value.high}
    return {name: None if math.isnan(number) else number for name, number in fields.items()}


def picture(found: Evaluation) -> str:
    """Quality over dollars where there are costs, else over the share of strong calls, as SVG."""
    if found.pool:
        lines = [
            Line(one.name, (one.cost * 1000).tolist(), one.quality.tolist(), one.name in BASELINES)
            for one in found.pool
        ]
        x_label = "USD per 1,000 requests"
    else:
        lines = [
            Line(one.name, (one.share * 100).tolist(), one.quality.tolist(), one.name in BASELINES)
            for one in found.pair
        ]
        x_label = f"calls sent to {found.models[-1].name}, %"
    return svg(f"Quality over cost, {found.rows} prompts", lines, x_label=x_label, y_label="mean score")
