"""Measure both models on held-out problems: `python -m models.abacus.evaluate`.

Greedy, in the dtype that is served, exact match. Prints accuracy by band and by family against the bars and
writes a JSON report; `--outcomes` also writes who answered which prompt rightly, for fitting a router.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.abacus.bars import BARS
from models.abacus.tasks import Band, Problem, families_of, held_out, is_right, training

WEIGHTS = Path(__file__).parent / "weights"
SPLITS = {"heldout": held_out, "train": training}


@dataclass(frozen=True, slots=True)
class Outcome:
    """One problem and what each model answered."""

    problem: Problem
    answers: Mapping[str, str]

    def right(self, model: str) -> bool:
        """True when `model` answered exactly."""
        return is_right(self.problem, self.answers[model])

    def as_json(self) -> dict[str, Any]:
        """The line written by `--outcomes`."""
        problem = self.problem
        verdicts = {name: {"answer": text, "right": self.right(name)} for name, text in self.answers.items()}
        head = {"prompt": problem.prompt, "band": problem.band, "family": problem.family, "answer": problem.answer}
        return head | verdicts


def outcomes_of(problems: Sequence[Problem], weights: Path, device: str) -> list[Outcome]:
    """Ask both models every problem."""
    from models.abacus.answering import Answerer

    prompts = [problem.prompt for problem in problems]
    answers = {name: Answerer(weights / name, device).answers(prompts) for name in BARS}
    return [Outcome(problem, {name: texts[i] for name, texts in answers.items()}) for i, problem in enumerate(problems)]


def accuracy(outcomes: Sequence[Outcome], model: str) -> float:
    """Share of outcomes the model got right."""
    return sum(outcome.right(model) for outcome in outcomes) / len(outcomes)


def in_band(outcomes: Sequence[Outcome], band: Band) -> list[Outcome]:
    """The outcomes of one band."""
    return [outcome for outcome in outcomes if outcome.problem.band is band]


def bar_results(outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
    """Every bar with its measured value."""
    results = []
    for model, bars in BARS.items():
        for band, bar in bars.items():
            value = accuracy(in_band(outcomes, band), model)
            name = f"{model} accuracy on {band}"
            results.append({"name": name, "value": value, "unit": "share", "bar": str(bar), "ok": bar.holds(value)})
    return results


def family_results(outcomes: Sequence[Outcome]) -> Iterator[tuple[Band, str, dict[str, float]]]:
    """Accuracy of both models by band and family, where the sample has any."""
    for band in Band:
        for family in families_of(band):
            asked = [outcome for outcome in in_band(outcomes, band) if outcome.problem.family == family.name]
            if asked:
                yield band, family.name, {model: accuracy(asked, model) for model in BARS}


def table(outcomes: Sequence[Outcome]) -> str:
    """The bars, then the families, as text."""
    lines = [f"{'':40}{'accuracy':>9}  {'bar':<12}"]
    for result in bar_results(outcomes):
        verdict = "ok" if result["ok"] else "MISS"
        lines.append(f"{result['name']:40}{result['value']:9.1%}  {result['bar']:<12}{verdict}")
    lines.append("")
    lines.append(f"{'band':8}{'family':14}" + "".join(f"{model:>14}" for model in BARS))
    for band, family, shares in family_results(outcomes):
        lines.append(f"{band:8}{family:14}" + "".join(f"{share:14.1%}" for share in shares.values()))
    return "\n".join(lines)


def report(outcomes: Sequence[Outcome], command: str) -> dict[str, Any]:
    """What is written to `--json`."""
    families = [{"band": band, "family": family} | shares for band, family, shares in family_results(outcomes)]
    return {
        "command": command,
        "hardware": hardware(),
        "tier": "real CPU",
        "bars": bar_results(outcomes),
        "prompts": len(outcomes),
        "families": families,
    }


def hardware() -> str:
    """The processor's name where the system tells it, and how many of them there are."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return f"{(names or [platform.machine()])[0]}, {os.cpu_count()} cores"


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m models.abacus.evaluate", description="Measure both models.")
    parser.add_argument("--prompts", type=int, default=2000, help="in all, evenly over the four bands")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--split", choices=sorted(SPLITS), default="heldout")
    parser.add_argument("--weights", type=Path, default=WEIGHTS, help="folder holding abacus-small and abacus-large")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--json", type=Path, default=Path("build/bench/abacus.json"), help="report to write")
    parser.add_argument("--outcomes", type=Path, help="JSON lines to write, one per prompt")
    return parser.parse_args(arguments)


def write(path: Path, text: str) -> None:
    """Write `text`, making the folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def main(arguments: Sequence[str] | None = None) -> int:
    given = parse(arguments)
    missing = [name for name in BARS if not (given.weights / name / "model.safetensors").exists()]
    if missing:
        print(f"evaluate: no weights of {', '.join(missing)} under {given.weights}", file=sys.stderr)
        return 2
    problems = SPLITS[given.split](max(1, given.prompts // len(Band)), given.seed)
    outcomes = outcomes_of(problems, given.weights, given.device)
    command = " ".join(["python -m models.abacus.evaluate", *(sys.argv[1:] if arguments is None else arguments)])
    write(given.json, json.dumps(report(outcomes, command), indent=2) + "\n")
    if given.outcomes:
        write(given.outcomes, "".join(json.dumps(outcome.as_json()) + "\n" for outcome in outcomes))
    print(table(outcomes))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
