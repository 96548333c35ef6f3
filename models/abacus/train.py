"""Train one Abacus model: `python -m models.abacus.train --size small|large`.

Fixed seed, resumable, on CPU or CUDA. Every checkpoint logs the accuracy on held-out problems by band and writes
weights that transformers and vLLM load. Stops at the last step or the time limit, whichever comes first.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from tqdm import tqdm

from models.abacus.problem import Problem
from models.abacus.sizes import SIZES
from models.abacus.tasks import held_out
from models.abacus.tokenizer import load
from models.abacus.trainer import Recipe, Trainer, TrainingError

PROBE_SEED = 1
"""Not the seed of `evaluate`, so watching a run does not tune it to the figures in the README."""


@dataclass(frozen=True, slots=True)
class Watch:
    """How long to run, how often to save, and what to measure then."""

    minutes: float
    checkpoint_s: float
    probes: Sequence[Problem]


def run(trainer: Trainer, watch: Watch) -> None:
    """Train to the last step or the time limit, saving and logging on the way."""
    steps = trainer.recipe.size.steps
    started = saved = time.monotonic()
    loss = float("nan")
    with tqdm(total=steps, initial=trainer.step, desc=trainer.recipe.size.name, mininterval=5) as bar:
        while trainer.step < steps and time.monotonic() - started < watch.minutes * 60:
            loss = trainer.advance()
            bar.update()
            bar.set_postfix(loss=f"{loss:.3f}", refresh=False)
            if time.monotonic() - saved > watch.checkpoint_s:
                checkpoint(trainer, watch.probes, loss, time.monotonic() - started)
                saved = time.monotonic()
    checkpoint(trainer, watch.probes, loss, time.monotonic() - started)


def checkpoint(trainer: Trainer, probes: Sequence[Problem], loss: float, elapsed_s: float) -> None:
    """Save, and append one line of JSON to the log."""
    trainer.save()
    line = {"step": trainer.step, "elapsed_s": round(elapsed_s, 1), "loss": round(loss, 4)}
    with (trainer.recipe.out / "log.jsonl").open("a") as log:
        log.write(json.dumps(line | {"accuracy": trainer.accuracy(probes)}) + "\n")


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m models.abacus.train", description="Train one Abacus model.")
    parser.add_argument("--size", choices=sorted(SIZES), required=True)
    parser.add_argument("--minutes", type=float, default=float("inf"), help="stop after this long; go on with --resume")
    parser.add_argument("--steps", type=int, help="optimiser steps in all (default: the size's own)")
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint in --out")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--out", type=Path, help="folder of checkpoint, log and weights (default: build/abacus/SIZE)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, help="CPU threads (default: torch's choice)")
    parser.add_argument("--checkpoint-s", type=float, default=90.0, help="seconds between checkpoints")
    parser.add_argument("--probes", type=int, default=250, help="held-out problems per band in the log")
    return parser.parse_args(arguments)


def recipe_of(given: argparse.Namespace) -> Recipe:
    """The recipe asked for. Raises TrainingError for a device that is not there."""
    size = SIZES[given.size]
    size = replace(size, steps=given.steps or size.steps)
    return Recipe(size, given.out or Path("build/abacus") / given.size, pick_device(given.device), given.seed)


def pick_device(name: str) -> torch.device:
    """`auto` is CUDA where there is one. Raises TrainingError for CUDA where there is none."""
    if name == "cuda" and not torch.cuda.is_available():
        raise TrainingError("--device cuda: torch finds no CUDA device; use --device cpu")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


def prepare(recipe: Recipe, resume: bool) -> Trainer:
    """A trainer at its first step, or at its checkpoint. Raises TrainingError rather than overwrite a run."""
    trainer = Trainer(recipe, load().backend_tokenizer)
    if resume:
        trainer.load()
    elif recipe.checkpoint.exists():
        raise TrainingError(f"{recipe.out} already holds a run: add --resume, or choose another --out")
    return trainer


def main(arguments: Sequence[str] | None = None) -> int:
    given = parse(arguments)
    if given.threads:
        torch.set_num_threads(given.threads)
    try:
        trainer = prepare(recipe_of(given), given.resume)
    except TrainingError as error:
        print(f"train: {error}", file=sys.stderr)
        return 2
    run(trainer, Watch(given.minutes, given.checkpoint_s, held_out(given.probes, PROBE_SEED)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
