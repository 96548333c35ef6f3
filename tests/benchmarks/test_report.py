"""A report shows and writes what was measured, misses included, and fails the run on a miss only."""

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from benchmarks.report import Bar, Report, commit, hardware

MET = Bar("ratio", 0.5, "", bar=0.35, low=0.4, high=0.6)
MISSED = Bar("streams", 0.2, "", bar=0.55)
SHOWN = Bar("rate", 8700.0, "requests/s")


@pytest.mark.parametrize(
    ("bar", "ok"),
    [
        (MET, True),
        (MISSED, False),
        (SHOWN, None),
        (Bar("at the bar", 0.35, "", bar=0.35), True),
        (Bar("cost", 2.0, "ms", bar=1.0, at_most=True), False),
        (Bar("cost", 1.0, "ms", bar=1.0, at_most=True), True),
    ],
    ids=["met", "missed", "not judged", "exactly met", "over the most", "exactly the most"],
)
def test_bar_is_met_missed_or_not_judged(bar: Bar, ok: bool | None) -> None:
    assert bar.ok is ok


def test_only_a_miss_fails_the_run() -> None:
    assert Report("make x", "real", [MET, SHOWN]).exit_code == 0
    assert Report("make x", "real", [MET, MISSED]).exit_code == 1


def test_file_holds_everything(tmp_path: Path) -> None:
    file = tmp_path / "deep" / "x.json"
    Report("make x", "fake engine", [MET, MISSED], rounds=[{"n": 1}], notes=["a note"]).write(file)
    written = json.loads(file.read_text())
    assert set(written) == {"command", "hardware", "tier", "commit", "bars", "notes", "rounds"}
    assert [bar["ok"] for bar in written["bars"]] == [True, False]
    assert written["bars"][0]["bar"] == 0.35
    assert written["rounds"] == [{"n": 1}]


def test_table_shows_misses_and_notes() -> None:
    out = io.StringIO()
    Report("make x", "real", [MET, MISSED, SHOWN], notes=["a note"]).show(Console(file=out, width=200))
    text = out.getvalue()
    assert "MISSED" in text
    assert "met" in text
    assert "8,700 requests/s" in text
    assert "a note" in text


def test_hardware_and_commit_are_stated() -> None:
    assert {"cpu", "cpus", "memory_gib", "system", "python", "load_1m"} <= set(hardware())
    assert commit()


def test_no_repository_is_no_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert commit() == "no commit"
