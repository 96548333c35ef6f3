"""The relay benchmark measures what it says: order, ratios, and a load that notices a wrong answer."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.relay.__main__ import PATH, SCENARIOS, bars, load, order
from benchmarks.relay.arms import Arm, running_arms
from tests.doubles.difficulty import difficulty_file
from tests.doubles.stand_in_process import running_stand_in


@pytest.fixture(scope="module")
def arms(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Arm]]:
    folder = tmp_path_factory.mktemp("arms")
    fitted = difficulty_file(tmp_path_factory.mktemp("fitted"), {"fake": 0.9})
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MILLRACE_DIFFICULTY_FILE", str(fitted))
        with running_arms(folder) as running:
            yield running


def test_arms_alternate_so_that_neither_is_always_first() -> None:
    assert order(2) == ["relay", "gateway", "gateway", "relay"]
    assert order(3)[4:] == ["relay", "gateway"]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
@pytest.mark.parametrize("name", ["upstream", "relay", "gateway"])
def test_every_arm_answers_well_under_load(arms: dict[str, Arm], name: str, scenario: Any) -> None:
    result = load(arms[name], scenario, seconds=1.0, concurrency=2)
    assert result["answers"] > 0
    assert result["arm"] == name


def test_wrong_key_is_a_failed_run(arms: dict[str, Arm]) -> None:
    keyless = Arm("gateway", arms["gateway"].port, arms["gateway"].pid)
    with pytest.raises(RuntimeError, match="401"):
        load(keyless, SCENARIOS[0], seconds=0.5, concurrency=1)


def test_truncated_stream_is_a_failure(tmp_path: Path) -> None:
    with running_stand_in(tmp_path) as stand_in:
        stand_in.script(default={"end_after": 2})
        job = {
            "port": int(stand_in.url.rpartition(":")[2]),
            "path": PATH,
            "headers": {"authorization": f"Bearer {stand_in.key}"},
            "body": dict(SCENARIOS[1].body),
            "connections": 1,
            "seconds": 0.5,
        }
        command = [sys.executable, "-m", "benchmarks.relay.load", json.dumps(job)]
        outcome = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert outcome["failures"] > 0
    assert "[DONE]" in outcome["first_failure"]


def test_ratio_is_that_of_the_medians() -> None:
    def round_of(arm: str, scenario: str, per_second: float) -> dict[str, Any]:
        return {"arm": arm, "scenario": scenario, "per_second": per_second, "server_cpu_ms": 1000 / per_second}

    rounds = [
        round_of(arm, scenario.name, rate)
        for scenario in SCENARIOS
        for arm, rates in (("relay", (100, 1000, 200)), ("gateway", (50, 100, 300)))
        for rate in rates
    ]
    ratio = next(bar for bar in bars(rounds) if bar.name == "unary: gateway / relay")
    assert ratio.value == pytest.approx(0.5)
    assert ratio.low == pytest.approx(0.1)
    assert ratio.high == pytest.approx(1.5)
    assert ratio.bar == 0.35
    assert ratio.ok
