"""The training step, its optimisers and its checkpoints. Knows nothing of time limits or the command line.

A step depends only on the seed, the step number and the state, so a resumed run ends where an uninterrupted
one does. Imports torch, so import it late.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch.nn import functional

from models.abacus.batches import Encoder, Slice, collate, problems_of_step, slices_of
from models.abacus.context import Context, Setting
from models.abacus.export import export
from models.abacus.network import Abacus
from models.abacus.problem import Problem
from models.abacus.sizes import Size

SLICES = 4
"""Parts a step's problems are cut into by length: fewer pad more, more waste time on small products."""
WARMUP_STEPS = 100
PROBE_BATCH = 256


class TrainingError(Exception):
    """The run cannot start or go on as asked; the message says what to change."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """What to train, where to keep it, and on which device."""

    size: Size
    out: Path
    device: torch.device
    seed: int = 0

    @property
    def checkpoint(self) -> Path:
        """The file a run is resumed from."""
        return self.out / "checkpoint.pt"


class Trainer:
    """The model, its optimisers and the step counter: everything a checkpoint holds."""

    def __init__(self, recipe: Recipe, tokenizer: Tokenizer) -> None:
        torch.manual_seed(recipe.seed)
        self.recipe = recipe
        self.step = 0
        self._encoder = Encoder(tokenizer)
        self.network = Abacus(recipe.size).to(recipe.device)
        self._optimizers = optimizers(self.network, recipe.size.learning_rate)

    def advance(self) -> float:
        """One optimiser step; returns the mean loss of its answer tokens."""
        size = self.recipe.size
        problems, settings = problems_of_step(size, self.recipe.seed, self.step, size.batch)
        examples = self._encoder.encode(problems, settings)
        targets = sum(len(ids) - start for ids, start in examples)
        loss = sum(self._backward(part, targets) for part in slices_of(examples, self._encoder.pad, SLICES))
        self._update(learning_rate(self.step, size))
        self.step += 1
        return loss

    def _backward(self, part: Slice, targets: int) -> float:
        logits, wanted = self._logits(part)
        loss = functional.cross_entropy(logits.float(), wanted, reduction="sum") / targets
        loss.backward()
        return float(loss.item())

    def _logits(self, part: Slice) -> tuple[torch.Tensor, torch.Tensor]:
        part = part.to(self.recipe.device)
        with torch.autocast(self.recipe.device.type, dtype=torch.bfloat16):
            return self.network(part.tokens, part.positions), part.targets

    def _update(self, rate: float) -> None:
        for optimizer in self._optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

    def accuracy(self, problems: Sequence[Problem]) -> dict[str, float]:
        """Share of problems answered exactly, by band and by band/family."""
        right: Counter[str] = Counter()
        seen: Counter[str] = Counter()
        for problem, good in zip(problems, self._right(problems), strict=True):
            for label in (problem.band.value, f"{problem.band}/{problem.family}"):
                seen[label] += 1
                right[label] += good
        return {label: round(right[label] / seen[label], 3) for label in seen}

    def _right(self, problems: Sequence[Problem]) -> Iterator[bool]:
        """Greedy decoding is exact when every answer token is the likeliest given the ones before it."""
        for start in range(0, len(problems), PROBE_BATCH):
            chunk = problems[start : start + PROBE_BATCH]
            part = collate(self._encoder.encode(chunk, [Setting(Context.CHAT)] * len(chunk)), self._encoder.pad)
            with torch.no_grad():
                logits, wanted = self._logits(part)
            missed = set(part.positions[0][(logits.argmax(-1) != wanted).cpu()].tolist())
            yield from (row not in missed for row in range(len(chunk)))

    def save(self) -> None:
        """Write the checkpoint, atomically, and the weights in serving format."""
        state = {
            "step": self.step,
            "network": self.network.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self._optimizers],
        }
        self.recipe.out.mkdir(parents=True, exist_ok=True)
        scratch = self.recipe.checkpoint.with_suffix(".tmp")
        torch.save(state, scratch)
        scratch.replace(self.recipe.checkpoint)
        export(self.network, self.recipe.size, self.recipe.out / "weights")

    def load(self) -> None:
        """Take up the checkpoint. Raises TrainingError when there is none or it is of another size."""
        path = self.recipe.checkpoint
        if not path.exists():
            raise TrainingError(f"--resume: no checkpoint at {path}")
        state = torch.load(path, map_location=self.recipe.device, weights_only=True)
        try:
            self.network.load_state_dict(state["network"])
        except RuntimeError as error:
            raise TrainingError(f"{path} is not a checkpoint of {self.recipe.size.name}") from error
        for optimizer, saved in zip(self._optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        self.step = state["step"]


def learning_rate(step: int, size: Size) -> float:
    """Linear warm-up, a constant stretch, and a linear descent to zero at the last step."""
    rise = (step + 1) / WARMUP_STEPS
    descent = (size.steps - step) / (size.descent * size.steps)
    return size.learning_rate * min(1.0, rise, descent)


def optimizers(network: Abacus, rate: float) -> list[torch.optim.Optimizer]:
    """Muon (arXiv:2502.16982) for the matrices inside the layers, AdamW for the embedding and the norms."""
    inner = [p for name, p in network.named_parameters() if p.dim() == 2 and "embed" not in name]
    outer = [p for name, p in network.named_parameters() if p.dim() != 2 or "embed" in name]
    muon = torch.optim.Muon(inner, lr=rate, weight_decay=0.01, momentum=0.95, adjust_lr_fn="match_rms_adamw")
    adam = torch.optim.AdamW(outer, lr=rate, betas=(0.9, 0.98), weight_decay=0.0, fused=True)
    return [muon, adam]
