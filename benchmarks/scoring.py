"""How long scoring a prompt takes: `make bench-scoring`. Bar: p99 under 1 ms of CPU time, for every kind of prompt.

Prompts: Abacus, MT-Bench questions from the data folder, and 4,096-character prompts made of them. Each is scored by
the shipped file in this process. CPU time of the thread is what the bar holds for; wall time, which on a busy machine
measures its neighbours too, is printed beside it.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console

from benchmarks.report import BUILD, Bar, Report
from models.abacus.tasks import held_out
from routing.difficulty import Difficulty
from routing.fitted import DEFAULT_FILE, FittedFileError, decode

BAR_MS = 1.0
LONG_CHARS = 4096
QUESTIONS = Path("traces/mt-bench/question.jsonl")


@dataclass(frozen=True, slots=True)
class Timing:
    """Quantiles over all scorings of one kind of prompt, milliseconds."""

    kind: str
    prompts: int
    scorings: int
    cpu_p50_ms: float
    cpu_p99_ms: float
    wall_p50_ms: float
    wall_p99_ms: float


def read_questions(data: Path) -> list[str]:
    """Every turn of MT-Bench's questions. Raises OSError when the data folder lacks them."""
    lines = (data / QUESTIONS).read_text().splitlines()
    return [turn for line in lines for turn in json.loads(line)["turns"]]


def long_prompts(prompts: Sequence[str], count: int = 100) -> list[str]:
    """`count` prompts of `LONG_CHARS` characters, each made of different neighbours in `prompts`."""
    ring = "\n".join(prompts) + "\n"
    ring *= 1 + (LONG_CHARS * 2) // len(ring)
    step = max(1, (len(ring) - LONG_CHARS) // count)
    return [ring[at * step :][:LONG_CHARS] for at in range(count)]


def time_scoring(difficulty: Difficulty, kind: str, prompts: Sequence[str], rounds: int) -> Timing:
    """Score every prompt `rounds` times, after one round to warm up."""
    for prompt in prompts:
        difficulty.score(prompt)
    cpu_ns, wall_ns = [], []
    for _ in range(rounds):
        for prompt in prompts:
            wall, cpu = time.perf_counter_ns(), time.thread_time_ns()
            difficulty.score(prompt)
            cpu_ns.append(time.thread_time_ns() - cpu)
            wall_ns.append(time.perf_counter_ns() - wall)
    times = [quantile_ms(ns, q) for ns in (cpu_ns, wall_ns) for q in (0.5, 0.99)]
    return Timing(kind, len(prompts), len(cpu_ns), *times)


def quantile_ms(times_ns: Sequence[int], q: float) -> float:
    """The nearest-rank quantile."""
    return sorted(times_ns)[min(len(times_ns) - 1, int(q * len(times_ns)))] / 1e6


def kinds_of_prompts(data: Path) -> tuple[dict[str, list[str]], list[str]]:
    """Prompts by kind, and what is to be said about them: whether the data folder lacks its questions."""
    abacus = [problem.prompt for problem in held_out(100)]
    try:
        questions = read_questions(data)
    except OSError:
        note = f"NOT MEASURED: MT-Bench, no {QUESTIONS} in {data}; set MILLRACE_DATA"
        return {"abacus": abacus, f"abacus, {LONG_CHARS} characters": long_prompts(abacus)}, [note]
    kinds = {"abacus": abacus, "mt-bench": questions, f"mt-bench, {LONG_CHARS} characters": long_prompts(questions)}
    return kinds, []


def bars_of(timing: Timing) -> list[Bar]:
    """The bar on CPU time, and the other quantiles, which are shown only."""
    return [
        Bar(f"{timing.kind}: CPU p99", timing.cpu_p99_ms, "ms", BAR_MS, at_most=True),
        Bar(f"{timing.kind}: CPU p50", timing.cpu_p50_ms, "ms"),
        Bar(f"{timing.kind}: wall p50", timing.wall_p50_ms, "ms"),
        Bar(f"{timing.kind}: wall p99", timing.wall_p99_ms, "ms"),
    ]


def main(argv: Sequence[str] | None = None, env: Mapping[str, str] = os.environ) -> int:
    """Measure, print, write. Returns 0, 1 when the bar is missed, 2 when the fitted file cannot be used."""
    parser = argparse.ArgumentParser(prog="benchmarks.scoring", description="Time the difficulty score.")
    parser.add_argument("--file", type=Path, default=DEFAULT_FILE, help="the fitted file")
    parser.add_argument("--rounds", type=int, default=20, help="times each prompt is scored")
    parser.add_argument("--json", type=Path, default=BUILD / "scoring.json", help="report to write")
    options = parser.parse_args(argv)
    try:
        difficulty = decode(options.file.read_bytes(), file=options.file.name)
    except (OSError, FittedFileError) as error:
        print(f"bench-scoring: {error}", file=sys.stderr)
        return 2
    data = Path(env.get("MILLRACE_DATA", "../shared/data"))
    kinds, notes = kinds_of_prompts(data)
    timings = [time_scoring(difficulty, kind, prompts, options.rounds) for kind, prompts in kinds.items()]
    bars = [bar for timing in timings for bar in bars_of(timing)]
    report = Report("make bench-scoring", "real CPU", bars, rounds=[asdict(timing) for timing in timings], notes=notes)
    report.write(options.json)
    report.show(Console())
    return report.exit_code


if __name__ == "__main__":
    raise SystemExit(main())
