"""`python -m benchmarks.routing` (`make bench-routing`): every offline bar of routing on the recorded outcomes.

Fixed seeds; values are out of fold or on held-out rows, their lowest and highest the ends of a 95 % interval. Exit
code 1 when a bar is missed. Without the data folder it says so and measures nothing.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from rich.console import Console

from benchmarks.data import RoutingData, data_folder
from benchmarks.report import BUILD, Bar, Report
from benchmarks.routing.answers import answers
from benchmarks.routing.decisions import decisions
from benchmarks.routing.mix import mix
from benchmarks.routing.promises import promises
from benchmarks.routing.prompts import prompts
from benchmarks.routing.streams import streams
from benchmarks.routing.yardsticks import yardsticks

COMMAND = "make bench-routing"
Part = Callable[[RoutingData], list[Bar]]
PARTS: Mapping[str, Part] = {
    "yardsticks": yardsticks,
    "prompts": prompts,
    "answers": answers,
    "mix": mix,
    "promises": promises,
    "streams": streams,
    "decisions": decisions,
}


def main(
    argv: Sequence[str] | None = None, env: Mapping[str, str] = os.environ, parts: Mapping[str, Part] = PARTS
) -> int:
    """Measure, print, write. Returns 0, or 1 when a bar is missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.routing", description=__doc__)
    parser.add_argument("--only", choices=sorted(parts), action="append", help="measure this part only; repeatable")
    parser.add_argument("--json", type=Path, default=BUILD / "routing.json", help="report to write")
    options = parser.parse_args(argv)
    console = Console()
    data = RoutingData(data_folder(env))
    bars: list[Bar] = []
    rounds: list[dict[str, object]] = []
    notes = (
        [data.missing] if data.missing else ["lowest, highest: 95 % interval (random: of 30 draws); before: yardstick"]
    )
    for name in [] if data.missing else options.only or parts:
        began = time.perf_counter()
        bars += parts[name](data)
        rounds.append({"part": name, "seconds": round(time.perf_counter() - began, 1)})
        console.print(f"{name}: {rounds[-1]['seconds']} s", highlight=False)
    report = Report(COMMAND, "recorded outcomes", bars, rounds=rounds, notes=notes)
    report.write(options.json)
    report.show(console)
    console.print(f"written to {options.json}", highlight=False)
    return report.exit_code


if __name__ == "__main__":
    sys.exit(main())
