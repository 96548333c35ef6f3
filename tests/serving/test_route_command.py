"""`millrace route`: files in, table, JSON and picture out; bad input is one line and exit code 2."""

import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import msgspec
import pytest
from typer.testing import CliRunner, Result

from serving.cli import app
from tests.routing.offline.outcome_rows import confident, outcome_rows


@pytest.fixture
def outcomes(tmp_path: Path) -> Path:
    file = tmp_path / "made-up.jsonl"
    file.write_bytes(b"\n".join(msgspec.json.encode(row) for row in outcome_rows(60)))
    return file


def run(*arguments: Any) -> Result:
    return CliRunner().invoke(app, ["route", *map(str, arguments)], env={"COLUMNS": "200"})


def test_eval_prints_and_writes_what_it_measured(outcomes: Path, tmp_path: Path) -> None:
    report, plot = tmp_path / "out" / "eval.json", tmp_path / "out" / "eval.svg"
    done = run("eval", outcomes, "--models", "small, large", "--json", report, "--plot", plot)
    assert done.exit_code == 0, done.output
    for name in ("random", "prompt length", "task identity", "oracle", "linear", "always strong"):
        assert name in done.output
    written = msgspec.json.decode(report.read_bytes())
    assert written["files"] == ["made-up.jsonl"]
    assert {"random", "oracle"} <= {one["name"] for one in written["routers"]}
    assert ET.parse(plot).getroot().tag.endswith("svg")


def test_eval_of_some_tasks_prices_and_labels(outcomes: Path) -> None:
    done = run(
        "eval", outcomes, "--models", "small,large", "--tasks", "hard", "--labels", 15,
        "--price", "small=0.001", "--price", "large=0.02", "--seed", 3,
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert "30 prompts; 15 labels" in done.output
    assert "one task" in done.output


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--models", "small"], "--models: small: name at least two"),
        (["--models", "small,huge"], "has no outcome of 'huge'"),
        (["--models", "large,small"], "name them from weak to strong"),
        (["--models", "small,large", "--price", "small"], "--price: 'small'; give MODEL=USD"),
        (["--models", "small,large", "--price", "small=cheap"], "--price: 'small=cheap'; give MODEL=USD"),
        (["--models", "small,large", "--tasks", "odd"], "--tasks: no rows of odd; there are easy, hard"),
        (["--models", "small,large", "--labels", "60"], "--labels: 60 of 60 rows"),
    ],
    ids=["one", "unknown", "order", "price", "no-number", "task", "labels"],
)
def test_bad_input_is_one_line_and_exit_code_2(outcomes: Path, arguments: list[str], named: str) -> None:
    done = run("eval", outcomes, *arguments)
    assert done.exit_code == 2
    assert named in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("text", ["", "{"], ids=["empty", "broken"])
def test_a_file_without_rows_is_one_line_too(tmp_path: Path, text: str) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text(text)
    done = run("eval", file, "--models", "small,large")
    assert (done.exit_code, done.stderr.count("\n")) == (2, 1)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    done = run("eval", tmp_path / "none.jsonl", "--models", "small,large")
    assert done.exit_code == 2
    assert "none.jsonl: cannot be read" in done.stderr


@pytest.fixture
def confident_outcomes(tmp_path: Path) -> Path:
    file = tmp_path / "confident.jsonl"
    file.write_bytes(b"\n".join(msgspec.json.encode(row) for row in confident(outcome_rows(200))))
    return file


def test_calibrate_promises_what_it_can(confident_outcomes: Path, tmp_path: Path) -> None:
    out = tmp_path / "calibrated.json"
    done = run("calibrate", confident_outcomes, "--weak", "small", "--strong", "large", "--json", out)
    assert done.exit_code == 0, done.output
    assert "keep small's answer at confidence >=" in done.output
    assert "x the cost of large alone" in done.output
    certificate = msgspec.json.decode(out.read_bytes())["certificate"]
    assert (certificate["alpha"], certificate["delta"], certificate["n"]) == (0.05, 0.1, 200)


def test_calibrate_says_when_nothing_can_be_promised(tmp_path: Path) -> None:
    file = tmp_path / "hard.jsonl"
    rows = confident(outcome_rows(120, costs=False))
    level = [
        msgspec.structs.replace(
            row, outcomes=row.outcomes | {"small": msgspec.structs.replace(row.outcomes["small"], confidence=0.5)}
        )
        for row in rows
    ]
    file.write_bytes(b"\n".join(msgspec.json.encode(row) for row in level))
    done = run("calibrate", file, "--weak", "small", "--strong", "large", "--json", tmp_path / "out.json")
    assert done.exit_code == 1
    assert "ask large for everything" in done.stderr


def test_calibrate_without_costs_names_none(tmp_path: Path) -> None:
    file = tmp_path / "free.jsonl"
    rows = confident(outcome_rows(200, costs=False))
    file.write_bytes(b"\n".join(msgspec.json.encode(row) for row in rows))
    done = run("calibrate", file, "--weak", "small", "--strong", "large")
    assert done.exit_code == 0
    assert "the cost of" not in done.output


def test_calibrate_refuses_rows_without_confidence(outcomes: Path) -> None:
    done = run("calibrate", outcomes, "--weak", "small", "--strong", "large")
    assert done.exit_code == 2
    assert "outcomes.small.confidence is missing" in done.stderr
