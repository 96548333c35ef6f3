"""The 300-split experiment, small: what is measured, on outcomes whose risk is known."""

from pathlib import Path

import msgspec
import numpy as np
import pytest

from routing.offline import promises
from routing.offline.outcomes import Outcome, OutcomesError, Row
from routing.offline.promises import CELLS, Kept, Pair, lines, main, measure, naive_threshold, pair_of


def rows_of(count: int, seed: int = 0) -> list[Row]:
    """Two tasks, four models; a model is right as often as it says, and each is better than the one before."""
    rng = np.random.default_rng(seed)
    models = ("llama3.1-8b", "llama3.1-70b", "llama3.1-405b")
    rows = []
    for at in range(count):
        outcomes = {}
        for place, model in enumerate(models):
            sure = float(rng.random() ** (1 / (2 + 4 * place)))
            outcomes[model] = Outcome(float(rng.random() < sure), cost_usd=float(4**place), confidence=sure)
        rows.append(Row(str(at), "made", ("mmlu", "triviaqa")[at % 2], "?", outcomes))
    return rows


ROWS = rows_of(1600)


def test_a_pair_is_its_task_alone() -> None:
    pair = pair_of(ROWS, *CELLS[0])
    assert len(pair.loss) == 800
    assert set(pair.loss) == {0.0, 1.0}
    assert (pair.weak_usd[0], pair.strong_usd[0]) == (1.0, 4.0)


def test_what_lacks_an_outcome_or_a_task_is_refused() -> None:
    with pytest.raises(OutcomesError, match="no row of 'law'"):
        pair_of(ROWS, "law", "llama3.1-8b", "llama3.1-70b")
    with pytest.raises(OutcomesError, match="0: needs outcomes of none"):
        pair_of(ROWS, "mmlu", "none", "llama3.1-70b")


def test_the_naive_threshold_spends_all_of_alpha() -> None:
    confidence, loss = np.array([0.9, 0.8, 0.7, 0.6]), np.array([0.0, 1.0, 0.0, 1.0])
    assert naive_threshold(confidence, loss, confidence, 0.25) == 0.7
    assert naive_threshold(confidence, loss, confidence, 0.0) == 0.9
    assert naive_threshold(confidence, np.ones(4), confidence, 0.1) == float("inf")


def test_the_promise_is_kept_and_the_naive_one_is_not() -> None:
    kept = {one.kind: one for one in measure(pair_of(ROWS, *CELLS[0]), 0.05, splits=60, rows=300)}
    assert kept["naive"].rate > 0.3
    assert kept["horizon, coin"].interval[0] <= 0.1
    assert kept["horizon"].violated <= kept["horizon, coin"].violated <= kept["naive"].violated
    assert kept["horizon"].cost >= kept["with margin"].cost - 0.02
    assert kept["naive"].cost <= kept["horizon, coin"].cost <= kept["horizon"].cost
    assert kept["naive"].cost <= kept["expectation"].cost <= kept["horizon"].cost


def test_without_accepting_anything_both_models_are_paid() -> None:
    pair = Pair(np.full(60, 0.9), np.ones(60), np.ones(60), np.full(60, 4.0))
    for one in measure(pair, 0.05, splits=2, rows=50):
        assert (one.violated, one.cost) == (0, pytest.approx(1.25))


def test_rows_must_be_left_to_measure_on() -> None:
    with pytest.raises(ValueError, match="none to measure"):
        measure(pair_of(ROWS, *CELLS[0]), 0.05, rows=800)


def test_the_premium_is_over_the_naive_threshold() -> None:
    table = lines("mmlu", [Kept("naive", 3, 10, 0.5), Kept("horizon", 1, 10, 0.55)])
    assert table[0] == "mmlu"
    assert table[2].endswith("cost 0.550  premium  +5.0")
    assert "10.0% [0.3%, 44.5%]" in table[2]


def test_the_command_prints_every_cell(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "made.jsonl"
    file.write_bytes(b"\n".join(msgspec.json.encode(row) for row in ROWS[:400]))
    assert main([str(file), "--splits", "2", "--rows", "120", "--points", "21"]) == 0
    printed = capsys.readouterr().out
    assert printed.count("alpha") == len(CELLS) * len(promises.ALPHAS)
    assert printed.count("violated") == len(promises.KINDS) * len(CELLS) * len(promises.ALPHAS)
