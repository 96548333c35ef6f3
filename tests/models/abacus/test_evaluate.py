"""The evaluation: bars, table, report and outcomes, on answers given by hand."""

from __future__ import annotations

import json

import pytest

from models.abacus import evaluate
from models.abacus.bars import BARS, Bar
from models.abacus.evaluate import Outcome, accuracy, bar_results, in_band, report, table
from models.abacus.problem import Band
from models.abacus.tasks import held_out, training


def graded(problems, **right_bands):
    """Outcomes in which each model answers exactly the named bands rightly."""
    return [
        Outcome(p, {name: p.answer if p.band in right_bands[name[7:]] else "no" for name in BARS}) for p in problems
    ]


LADDER = {"small": {Band.EASY}, "large": {Band.EASY, Band.MEDIUM, Band.HARD}}


def test_accuracy_is_the_share_answered_exactly():
    outcomes = graded(held_out(10), **LADDER)
    assert accuracy(outcomes, "abacus-small") == 0.25
    assert accuracy(in_band(outcomes, Band.HARD), "abacus-large") == 1.0


def test_bars_are_judged_one_by_one():
    verdicts = {result["name"]: result["ok"] for result in bar_results(graded(held_out(10), **LADDER))}
    assert len(verdicts) == 8
    assert [name for name, ok in verdicts.items() if not ok] == ["abacus-small accuracy on medium"]


@pytest.mark.parametrize(
    ("bar", "text", "inside", "outside"),
    [
        (Bar(low=0.95), "≥ 95%", 0.95, 0.949),
        (Bar(high=0.2), "≤ 20%", 0.2, 0.201),
        (Bar(low=0.4, high=0.75), "40% to 75%", 0.5, 0.76),
    ],
    ids=["at least", "at most", "between"],
)
def test_bar(bar, text, inside, outside):
    assert str(bar) == text
    assert bar.holds(inside)
    assert not bar.holds(outside)


def test_table_and_report_name_every_band_and_family():
    outcomes = graded(held_out(100), **LADDER)
    printed = table(outcomes)
    assert printed.count("MISS") == 1
    written = report(outcomes, "command")
    assert {row["family"] for row in written["families"]} == {outcome.problem.family for outcome in outcomes}
    assert written["prompts"] == 400
    assert set(written) >= {"command", "hardware", "tier", "bars"}


@pytest.mark.parametrize(("split", "source"), [("heldout", held_out), ("train", training)], ids=["heldout", "train"])
def test_command_line_writes_report_and_outcomes(split, source, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(evaluate, "outcomes_of", lambda problems, weights, device: graded(problems, **LADDER))
    report_file, outcomes_file = tmp_path / "bench" / "abacus.json", tmp_path / "outcomes.jsonl"
    arguments = ["--prompts", "40", "--split", split, "--seed", "5"]
    assert evaluate.main([*arguments, "--json", str(report_file), "--outcomes", str(outcomes_file)]) == 0
    lines = [json.loads(line) for line in outcomes_file.read_text().splitlines()]
    assert [line["prompt"] for line in lines] == [problem.prompt for problem in source(10, 5)]
    assert lines[0]["abacus-small"] == {"answer": lines[0]["answer"], "right": True}
    assert json.loads(report_file.read_text())["command"].startswith("python -m models.abacus.evaluate --prompts 40")
    assert "abacus-large accuracy on hard" in capsys.readouterr().out


def test_missing_weights_are_named(tmp_path, capsys):
    assert evaluate.main(["--weights", str(tmp_path)]) == 2
    assert "no weights of abacus-small, abacus-large" in capsys.readouterr().err
