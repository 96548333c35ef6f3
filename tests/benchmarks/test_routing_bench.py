"""The routing benchmark: what it says when there is no data, and that its bars are those of the issue."""

import gzip
import json
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest

from benchmarks.data import RoutingData, data_folder
from benchmarks.report import Bar
from benchmarks.routing import answers, decisions, mix, promises, prompts, streams, yardsticks
from benchmarks.routing.__main__ import main
from routing.offline.outcomes import Outcome, Row
from routing.offline.pairs import Estimate, PairResult
from routing.offline.pools import CostAt, PoolResult
from routing.offline.promises import Kept
from routing.offline.routers import READING, UNLABELLED
from routing.offline.streams import Setting, Streamed
from tests.routing.offline.outcome_rows import MODELS, outcome_rows

PASS = Streamed(4000, 0.61, 0.59, 0.63, 0.01, -0.05, 0.75, 0.5, 0.1)


def renamed(rows: list[Row], names: tuple[str, ...]) -> list[Row]:
    """The same outcomes under other models' names, weak to strong; of two, the weakest and the strongest."""
    mine = MODELS if len(names) == 3 else (MODELS[0], MODELS[-1])
    outcomes = [
        {
            name: Outcome(row.outcomes[old].score, row.outcomes[old].cost_usd)
            for name, old in zip(names, mine, strict=True)
        }
        for row in rows
    ]
    return [msgspec.structs.replace(row, outcomes=new) for row, new in zip(rows, outcomes, strict=True)]


def written(folder: Path, name: str, rows: list[Row]) -> None:
    file = folder / "routing" / f"{name}.jsonl.gz"
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(gzip.compress(b"\n".join(msgspec.json.encode(row) for row in rows)))


def test_without_data_it_says_so_and_measures_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "bench" / "routing.json"
    assert main(["--json", str(out)], {"MILLRACE_DATA": str(tmp_path)}) == 0
    assert "NOT MEASURED" in capsys.readouterr().out
    report = json.loads(out.read_text())
    assert report["bars"] == []
    assert "set MILLRACE_DATA" in report["notes"][0]


def test_a_missed_bar_is_exit_code_1_and_only_what_is_asked_is_measured(tmp_path: Path) -> None:
    written(tmp_path, "any", outcome_rows(1))
    out = tmp_path / "routing.json"
    parts = {
        "met": lambda data: [Bar("one", 0.7, "APGR", 0.65)],
        "missed": lambda data: [Bar("two", 11.0, "%", 10.0, at_most=True)],
    }
    env = {"MILLRACE_DATA": str(tmp_path)}
    assert main(["--json", str(out)], env, parts) == 1
    assert [bar["ok"] for bar in json.loads(out.read_text())["bars"]] == [True, False]
    assert main(["--json", str(out)], env, {"yardsticks": parts["met"]}) == 0
    assert [one["part"] for one in json.loads(out.read_text())["rounds"]] == ["yardsticks"]


def test_the_data_folder_is_beside_the_checkout_unless_said_otherwise() -> None:
    assert data_folder({}) == Path("../shared/data")
    assert data_folder({"MILLRACE_DATA": "/d"}) == Path("/d")


def test_baselines_are_shown_beside_what_was_measured_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for one in yardsticks.YARDSTICKS:
        written(tmp_path, one.file, renamed(outcome_rows(30), one.models))
    rows = [msgspec.structs.replace(row, task="mmlu") for row in outcome_rows(30)]
    written(tmp_path, "mzelling-llama", renamed(rows, yardsticks.LLAMAS))
    monkeypatch.setattr(yardsticks, "YARDSTICKS", [one for one in yardsticks.YARDSTICKS if one.labels is None])
    bars = yardsticks.yardsticks(RoutingData(tmp_path), resamples=3)
    names = [bar.name for bar in bars]
    assert "MMLU: prompt length (before: 0.583)" in names
    assert "mixed: linear (single models) (before: 0.778)" in names
    assert not [name for name in names if name.startswith("GSM8K: task")]  # one task there
    assert all(bar.bar is None and bar.low is not None for bar in bars)


@pytest.mark.parametrize(("violated", "ok"), [(30, True), (31, False)])
def test_a_promise_is_kept_in_nine_of_ten_splits(violated: int, ok: bool) -> None:
    kept, naive = Kept("horizon, coin", violated, 300, 0.80), Kept("naive", 120, 300, 0.71)
    rate, premium, beside = promises.bars_of("mmlu", kept, naive, 0.02)
    assert rate.ok is ok
    assert rate.low is not None
    assert rate.high is not None
    assert rate.low < rate.value < rate.high
    assert (premium.value, premium.ok) == (pytest.approx(9.0), True)
    assert promises.bars_of("mmlu", kept, naive, 0.05)[1].ok is False
    assert (beside.value, beside.ok) == (40.0, None)


def test_promises_and_streams_are_measured_on_their_rows(tmp_path: Path) -> None:
    rows = renamed(outcome_rows(120), yardsticks.LLAMAS)
    told = {
        task: [
            msgspec.structs.replace(row, id=f"{task}/{row.id}", task=task, outcomes=confident(row.outcomes))
            for row in rows
        ]
        for task in ("mmlu", "triviaqa")
    }
    written(tmp_path, "mzelling-llama", [row for some in told.values() for row in some])
    bars = promises.promises(RoutingData(tmp_path), splits=3, rows=60)
    assert len(bars) == 18
    assert {bar.unit for bar in bars} == {"%", "points"}
    written(tmp_path, "routellm-mmlu", renamed(outcome_rows(120), (yardsticks.MIXTRAL, yardsticks.GPT_4)))
    apgr, spend, _ = streams.streams(RoutingData(tmp_path), setting=Setting(requests=60))
    assert apgr.bar == 0.6
    assert spend.at_most


def test_reading_the_weak_answer_has_four_bars() -> None:
    curve = np.linspace(0, 1, 11)

    def router(name: str, apgr: float) -> PairResult:
        return PairResult(name, Estimate(apgr, 0.7, 0.9), Estimate(16.0), Estimate(39.0), Estimate(0.8), curve, curve)

    bars = answers.bars_of([router(READING, 0.79), router(UNLABELLED, 0.69)])
    assert [bar.ok for bar in bars] == [True, True, False, False]
    assert (bars[0].low, bars[0].high) == (0.7, 0.9)


def test_the_prior_is_measured_with_and_without_unlabelled_prompts(tmp_path: Path) -> None:
    written(tmp_path, "routellm-mmlu", renamed(outcome_rows(60), (yardsticks.MIXTRAL, yardsticks.GPT_4)))
    bars = prompts.prompts(RoutingData(tmp_path), labels=20, resamples=2)
    assert [bar.bar for bar in bars] == [0.65, 30.0, 0.65, 30.0, None]
    assert bars[3].at_most
    found = decisions.decisions(RoutingData(tmp_path), labels=20, prompts=10)
    assert [bar.bar for bar in found] == [1.0, None, 10_000.0, 5.0, 5.0, 5.0]
    assert {bar.name for bar in found[3:]} == {
        f"decisions changed by {name}" for name in ("white space", "letter case", "paraphrase")
    }


def test_the_mix_is_judged_by_area_cost_and_both_parts_alone() -> None:
    def router(name: str, area: float) -> PoolResult:
        at = (CostAt(0.98, 0.5, 0.98), CostAt(0.99, 0.61, 0.989))
        return PoolResult(name, Estimate(area), area, at, np.array([0.1, 0.6, 1.0]), np.array([0.7, 0.895, 0.9]))

    found = [
        router(name, area)
        for name, area in (
            ("linear (single models)", 0.778),
            ("router", 0.82),
            ("cascade", 0.87),
            ("cascade routing", 0.856),
        )
    ]
    bars = {bar.name.partition(" (")[0]: bar for bar in mix.bars_of(found)}
    assert bars["mixed: cascade routing"].ok is True
    assert bars["mixed: ahead of the better of both"].ok is False  # 0.014 behind the cascade
    assert bars["mixed: cost at 99 %"].ok is False
    assert bars["mixed: score there, of always-strongest's"].value == pytest.approx(98.9)
    assert bars["mixed: cost where the measured curve has 99 %"].value == pytest.approx(0.6)
    assert np.isnan(mix.reached(found[0], found[0], asked=1.1))


def confident(outcomes: dict[str, Outcome]) -> dict[str, Outcome]:
    """Every model half-heartedly sure of what is right."""
    return {model: msgspec.structs.replace(one, confidence=0.4 + 0.2 * one.score) for model, one in outcomes.items()}


def test_online_learning_is_judged_by_its_mean_and_its_worst_spend() -> None:
    worse = replace(PASS, apgr=0.58, spend_error=-0.03)
    apgr, spend, window = streams.bars_of([PASS, worse])
    assert (apgr.value, apgr.ok) == (pytest.approx(0.595), False)
    assert (spend.value, spend.ok) == (pytest.approx(3.0), False)
    assert (spend.low, spend.high) == (pytest.approx(-3.0), pytest.approx(1.0))
    assert window.ok is None
    assert all(bar.ok for bar in streams.bars_of([PASS])[:2])
