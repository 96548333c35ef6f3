"""The scoring benchmark: what it measures and what it says when something is missing. No timing is asserted."""

import json
from pathlib import Path

import pytest

from benchmarks.scoring import LONG_CHARS, QUESTIONS, Timing, bars_of, long_prompts, main, quantile_ms
from routing.difficulty import LinearDifficulty, TierWeights
from routing.features import SURFACE
from routing.fitted import encode


@pytest.fixture
def fitted(tmp_path: Path) -> Path:
    weights = TierWeights(0.0, [0.0] * len(SURFACE), [0.0] * 8)
    file = tmp_path / "difficulty.json"
    file.write_bytes(encode(LinearDifficulty("t", {"small": weights}, 0.5), record={}))
    return file


def test_times_abacus_questions_and_long_prompts(fitted: Path, tmp_path: Path) -> None:
    questions = tmp_path / QUESTIONS
    questions.parent.mkdir(parents=True)
    questions.write_text(json.dumps({"turns": ["Why is the sky blue?", "And at dusk?"]}) + "\n")
    out = tmp_path / "bench" / "scoring.json"
    code = main(["--file", str(fitted), "--rounds", "1", "--json", str(out)], {"MILLRACE_DATA": str(tmp_path)})
    written = json.loads(out.read_text())
    assert [row["kind"] for row in written["rounds"]] == ["abacus", "mt-bench", "mt-bench, 4096 characters"]
    assert all(row["scorings"] == row["prompts"] > 0 for row in written["rounds"])
    assert code == (1 if any(bar["ok"] is False for bar in written["bars"]) else 0)


def test_says_when_the_data_folder_is_absent(fitted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "scoring.json"
    main(["--file", str(fitted), "--rounds", "1", "--json", str(out)], {"MILLRACE_DATA": str(tmp_path / "none")})
    assert "NOT MEASURED: MT-Bench" in capsys.readouterr().out
    written = json.loads(out.read_text())
    assert "NOT MEASURED: MT-Bench" in written["notes"][0]
    assert [row["kind"] for row in written["rounds"]] == ["abacus", "abacus, 4096 characters"]


def test_without_a_fitted_file_it_exits_with_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--file", str(tmp_path / "none.json")], {}) == 2
    assert "none.json" in capsys.readouterr().err


@pytest.mark.parametrize(("p99_ms", "ok"), [(0.999, True), (1.001, False)], ids=["met", "missed"])
def test_the_bar_is_on_cpu_time(p99_ms: float, ok: bool) -> None:
    bars = bars_of(Timing("k", 1, 1, cpu_p50_ms=0.1, cpu_p99_ms=p99_ms, wall_p50_ms=9.0, wall_p99_ms=9.0))
    assert [bar.ok for bar in bars] == [ok, None, None, None]
    assert bars[0].value == p99_ms


def test_quantiles_are_nearest_rank_in_milliseconds() -> None:
    times = [n * 1_000_000 for n in range(1, 101)]
    assert quantile_ms(times, 0.5) == 51.0
    assert quantile_ms(times, 0.99) == 100.0
    assert quantile_ms([7_000_000], 0.99) == 7.0


def test_long_prompts_are_long_and_differ() -> None:
    prompts = long_prompts([f"prompt {n}" for n in range(1000)], count=10)
    assert {len(prompt) for prompt in prompts} == {LONG_CHARS}
    assert len(set(prompts)) == 10
