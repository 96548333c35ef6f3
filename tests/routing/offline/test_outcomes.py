"""Recorded outcomes are read whole or refused with the place of what is wrong."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from routing.offline.outcomes import OutcomesError, check_models, costs_of, mean_score, models_of, read_outcomes


def row(id: str = "a/1", **more: Any) -> dict[str, Any]:
    outcomes = {"weak": {"score": 0.5, "cost_usd": 0.001}, "strong": {"score": 1.0, "cost_usd": 0.01}}
    return {"id": id, "source": "s", "task": "a", "split": None, "prompt": "2+2?", "outcomes": outcomes, **more}


def written(folder: Path, *rows: Any, name: str = "rows.jsonl") -> Path:
    text = "\n".join(line if isinstance(line, str) else json.dumps(line) for line in rows).encode()
    file = folder / name
    file.write_bytes(gzip.compress(text) if name.endswith(".gz") else text)
    return file


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.jsonl.gz"])
def test_rows_come_in_the_order_of_files_and_lines(tmp_path: Path, name: str) -> None:
    first = written(tmp_path, row("a/1"), "", row("a/2", prompt="line\u2028separator"), name=name)
    second = written(tmp_path, row("b/1", split="test"), name=f"second-{name}")
    rows = read_outcomes([first, second])
    assert [one.id for one in rows] == ["a/1", "a/2", "b/1"]
    assert rows[1].prompt == "line\u2028separator"
    assert rows[2].split == "test"
    assert rows[0].outcomes["strong"].cost_usd == 0.01


@pytest.mark.parametrize(
    ("bad", "named"),
    [
        ("{", r"rows.jsonl:2: .*truncated"),
        (row("x", prompt=7), r"rows.jsonl:2: .*\$\.prompt"),
        ({"id": "x"}, r"rows.jsonl:2: .*missing required field"),
        (row("x", outcomes={"weak": {"score": 2.0}}), r"rows.jsonl:2: outcomes.weak.score: 2.0 is not in \[0, 1\]"),
        (row("x", outcomes={"weak": {"score": 1.0, "confidence": -1.0}}), r"outcomes.weak.confidence: -1.0"),
        (row("x", outcomes={"weak": {"score": 1.0, "cost_usd": -1.0}}), r"outcomes.weak.cost_usd: -1.0 is no price"),
        (row("a/1"), r"'a/1' is there twice"),
    ],
    ids=["json", "type", "missing", "score", "confidence", "cost", "twice"],
)
def test_what_is_wrong_is_named(tmp_path: Path, bad: Any, named: str) -> None:
    with pytest.raises(OutcomesError, match=named):
        read_outcomes([written(tmp_path, row(), bad)])


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    broken = tmp_path / "broken.gz"
    broken.write_bytes(gzip.compress(b"{}" * 100)[:-9])
    with pytest.raises(OutcomesError, match=r"broken\.gz: cannot be read"):
        read_outcomes([broken])
    with pytest.raises(OutcomesError, match=r"nowhere: cannot be read"):
        read_outcomes([tmp_path / "nowhere"])
    with pytest.raises(OutcomesError, match="no rows"):
        read_outcomes([])


def test_models_go_from_weak_to_strong(tmp_path: Path) -> None:
    only_once = {"other": {"score": 0.0}, **row()["outcomes"]}
    rows = read_outcomes([written(tmp_path, row(), row("a/2", outcomes=only_once))])
    assert models_of(rows) == ["weak", "strong"]
    assert mean_score(rows, "weak") == 0.5
    check_models(rows, ["weak", "strong"])
    with pytest.raises(OutcomesError, match=r"a/1: has no outcome of 'other'; it has strong, weak"):
        check_models(rows, ["other", "strong"])
    with pytest.raises(OutcomesError, match=r"weak \(0.5000\) is not better than strong \(1.0000\)"):
        check_models(rows, ["strong", "weak"])


def test_rows_without_a_common_model_say_so(tmp_path: Path) -> None:
    rows = read_outcomes([written(tmp_path, row(), row("a/2", outcomes={"other": {"score": 0.0}}))])
    with pytest.raises(OutcomesError, match="no model is in every row"):
        models_of(rows)


def test_costs_are_as_billed_or_as_stated(tmp_path: Path) -> None:
    free = row("a/2", outcomes={"weak": {"score": 1.0}, "strong": {"score": 1.0, "cost_usd": 0.02}})
    rows = read_outcomes([written(tmp_path, row(), free)])
    assert costs_of(rows, "strong") == [0.01, 0.02]
    assert costs_of(rows, "weak", priced={"weak": 0.5}) == [0.5, 0.5]
    with pytest.raises(OutcomesError, match=r"a/2: outcomes.weak.cost_usd is missing; .*--price weak=USD"):
        costs_of(rows, "weak")
