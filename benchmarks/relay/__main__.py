"""`python -m benchmarks.relay`: the gateway next to a bare relay, in one run, against a fake upstream.

Each server is one process. Rounds alternate between the two (A B B A A B …), so that a machine that slows down slows
both; the ratio is that of the medians. Exit code 1 when a bar is missed.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console

from benchmarks.relay.arms import Arm, running_arms
from benchmarks.report import BUILD, Bar, Report, hardware

COMMAND = "make bench-relay"
JUDGED = ("relay", "gateway")
PATH = "/v1/chat/completions"
ASKED = {"model": "auto", "messages": [{"role": "user", "content": "What is 47 + 8?"}]}


@dataclass(frozen=True, slots=True)
class Scenario:
    """A kind of request. `bar`: the least ratio of the gateway's rate to the relay's; None: shown, not judged."""

    name: str
    unit: str
    body: Mapping[str, Any]
    bar: float | None


SCENARIOS = (
    Scenario("unary", "requests/s", ASKED, 0.35),
    Scenario("streams", "streams/s", ASKED | {"stream": True}, 0.55),
    Scenario("paced streams", "streams/s", ASKED | {"stream": True, "paced": True}, None),
)
"""Streams are 64 chunks. Paced: the upstream sends each in its own turn of its event loop, not all in one write."""


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.relay", description=__doc__)
    parser.add_argument("--rounds", type=int, default=7, help="rounds of each server and scenario")
    parser.add_argument("--seconds", type=float, default=2.0, help="length of a round")
    parser.add_argument("--concurrency", type=int, default=16, help="connections, each a closed loop")
    parser.add_argument("--out", type=Path, default=BUILD / "relay.json")
    options = parser.parse_args()
    console = Console()
    rounds: list[dict[str, Any]] = []
    busy = busy_note()
    with tempfile.TemporaryDirectory() as folder, running_arms(Path(folder)) as arms:
        for scenario in SCENARIOS:
            rounds += measure(scenario, arms, options, console)
    report = Report(
        command=COMMAND,
        tier="fake engine",
        bars=bars(rounds),
        rounds=rounds,
        notes=[*notes(rounds, options.concurrency), *busy],
    )
    report.write(options.out)
    report.show(console)
    console.print(f"written to {options.out}")
    return report.exit_code


def measure(
    scenario: Scenario, arms: Mapping[str, Arm], options: argparse.Namespace, console: Console
) -> list[dict[str, Any]]:
    """One warm-up of each arm, the load's own ceiling, then the rounds."""
    for name in JUDGED:
        load(arms[name], scenario, seconds=min(2.0, options.seconds), concurrency=options.concurrency)
    found = []
    for name in ("upstream", *order(options.rounds)):
        result = load(arms[name], scenario, seconds=options.seconds, concurrency=options.concurrency)
        found.append(result)
        console.print(f"{scenario.name}: {name} {result['per_second']:,.0f} {scenario.unit}", highlight=False)
    return found


def order(rounds: int) -> list[str]:
    """The arms in the order of measurement: A B B A A B …"""
    pairs = [JUDGED, JUDGED[::-1]]
    return [name for number in range(rounds) for name in pairs[number % 2]]


def load(arm: Arm, scenario: Scenario, *, seconds: float, concurrency: int) -> dict[str, Any]:
    """Load one arm from a fresh process. Raises RuntimeError when an answer was not a good one."""
    job = {
        "port": arm.port,
        "path": PATH,
        "headers": dict(arm.headers),
        "body": dict(scenario.body),
        "connections": concurrency,
        "seconds": seconds,
    }
    before = arm.cpu_s()
    command = [sys.executable, "-m", "benchmarks.relay.load", json.dumps(job)]
    outcome = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    if outcome["failures"] or not outcome["answers"]:
        raise RuntimeError(f"{arm.name}, {scenario.name}: {outcome['failures']} failed; {outcome['first_failure']}")
    return {
        "scenario": scenario.name,
        "arm": arm.name,
        "per_second": outcome["answers"] / outcome["seconds"],
        "answers": outcome["answers"],
        "seconds": outcome["seconds"],
        "server_cpu_ms": (arm.cpu_s() - before) / outcome["answers"] * 1000,
        "client_cpu_share": outcome["cpu_share"],
    }


def bars(rounds: Sequence[Mapping[str, Any]]) -> list[Bar]:
    """Per scenario: both rates, their ratio, and the ratio of processor time, which a busy machine disturbs less."""
    found = []
    for scenario in SCENARIOS:
        relay, gateway = ([r for r in rounds if (r["arm"], r["scenario"]) == (arm, scenario.name)] for arm in JUDGED)
        found += [
            _rate(f"{scenario.name}: relay", relay, scenario.unit),
            _rate(f"{scenario.name}: gateway", gateway, scenario.unit),
            _ratio(f"{scenario.name}: gateway / relay", gateway, relay, "per_second", bar=scenario.bar),
            _ratio(f"{scenario.name}: the same by CPU time", relay, gateway, "server_cpu_ms"),
        ]
    return found


def _rate(name: str, rounds: Sequence[Mapping[str, Any]], unit: str) -> Bar:
    values = [r["per_second"] for r in rounds]
    return Bar(name, median(values), unit, low=min(values), high=max(values))


def _ratio(
    name: str,
    above: Sequence[Mapping[str, Any]],
    below: Sequence[Mapping[str, Any]],
    key: str,
    bar: float | None = None,
) -> Bar:
    """The ratio of the medians; lowest and highest are those of single pairs of neighbouring rounds."""
    pairs = [a[key] / b[key] for a, b in zip(above, below, strict=True)]
    value = median(r[key] for r in above) / median(r[key] for r in below)
    return Bar(name, value, "", bar=bar, low=min(pairs), high=max(pairs))


def notes(rounds: Sequence[Mapping[str, Any]], concurrency: int) -> list[str]:
    """What has to be known to read the figures."""
    ceilings = ", ".join(f"{r['scenario']} {r['per_second']:,.0f}/s" for r in rounds if r["arm"] == "upstream")
    busiest = max(r["client_cpu_share"] for r in rounds if r["arm"] != "upstream")
    return [
        f"concurrency {concurrency}, one process for each server; medians of alternating rounds, ratio of the medians",
        f"the load straight at the fake upstream (its ceiling): {ceilings}",
        f"the load used at most {busiest:.0%} of one CPU while a server was measured",
    ]


def busy_note() -> list[str]:
    """A warning when others already keep this machine's processors busy."""
    before = hardware()
    if before["load_1m"] <= before["cpus"] / 2:
        return []
    return [f"BUSY MACHINE (load {before['load_1m']} before the run): read the CPU-time ratios, do not quote rates"]


if __name__ == "__main__":
    sys.exit(main())
