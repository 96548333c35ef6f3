"""Training batches: the problems of step n are a pure function of the seed and n, so resuming repeats nothing.

Each step's problems are sorted by length and cut into slices, so little of a slice is padding. Only answer
tokens (and the end token) are targets. Imports torch, so import it late.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from tokenizers import Tokenizer
from torch import Tensor

from models.abacus.context import Context, Setting, draw_setting
from models.abacus.problem import Band, Family, Problem
from models.abacus.sizes import Size
from models.abacus.tasks import draw, families_of
from models.abacus.tokenizer import ASSISTANT, BOS, END, PAD, SPECIAL, SYSTEM, USER

Pair = tuple[list[int], list[int]]
"""The token ids of a prompt and of its answer."""
Example = tuple[list[int], int]
"""Token ids, and how many of them stand before the answer."""


@dataclass(frozen=True, slots=True)
class Slice:
    """Tokens [batch, length], the (row, column) positions that predict an answer token, and those tokens [n]."""

    tokens: Tensor
    positions: tuple[Tensor, Tensor]
    targets: Tensor

    def to(self, device: torch.device) -> Slice:
        rows, columns = self.positions
        return Slice(self.tokens.to(device), (rows.to(device), columns.to(device)), self.targets.to(device))


class Encoder:
    """Turns problems into token ids as the chat template would, without rendering the template."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._ids = {token: id_of(tokenizer, token) for token in SPECIAL}
        self._system: dict[str, list[int]] = {}

    @property
    def pad(self) -> int:
        """The id that fills rows up to the length of their slice."""
        return self._ids[PAD]

    def encode(self, problems: Sequence[Problem], settings: Sequence[Setting]) -> list[Example]:
        """One example for each problem; an earlier turn is the problem before it in the list."""
        texts = [text for problem in problems for text in (problem.prompt, problem.answer)]
        ids = [encoding.ids for encoding in self._tokenizer.encode_batch_fast(texts, add_special_tokens=False)]
        pairs = list(zip(ids[::2], ids[1::2], strict=True))
        return [
            self._example(pair, pairs[i - 1], setting)
            for i, (pair, setting) in enumerate(zip(pairs, settings, strict=True))
        ]

    def _example(self, pair: Pair, earlier: Pair, setting: Setting) -> Example:
        prompt, answer = pair
        asked = prompt if setting.context is Context.PLAIN else [*self._before(earlier, setting), *self._turn(prompt)]
        return [self._ids[BOS], *asked, *answer, self._ids[END]], 1 + len(asked)

    def _turn(self, prompt: list[int]) -> list[int]:
        return [self._ids[USER], *prompt, self._ids[END], self._ids[ASSISTANT]]

    def _before(self, earlier: Pair, setting: Setting) -> list[int]:
        if setting.context is Context.TURN:
            return [*self._turn(earlier[0]), *earlier[1], self._ids[END]]
        if setting.context is Context.SYSTEM:
            return [self._ids[SYSTEM], *self._system_ids(setting.system), self._ids[END]]
        return []

    def _system_ids(self, message: str) -> list[int]:
        if message not in self._system:
            self._system[message] = self._tokenizer.encode(message, add_special_tokens=False).ids
        return self._system[message]


def id_of(tokenizer: Tokenizer, token: str) -> int:
    """The id of a token. Raises ValueError when the tokenizer lacks it."""
    found = tokenizer.token_to_id(token)
    if found is None:
        raise ValueError(f"the tokenizer has no {token}: learn it again with python -m models.abacus.tokenizer")
    return int(found)


def problems_of_step(size: Size, seed: int, step: int, count: int) -> tuple[list[Problem], list[Setting]]:
    """The training problems of one step, none of them held out."""
    rng = random.Random(f"train:{seed}:{step}")
    bands = rng.choices(tuple(size.mix), tuple(size.mix.values()), k=count)
    problems = [draw(rng, pick_family(rng, size, band), band) for band in bands]
    return problems, [draw_setting(rng) for _ in problems]


def pick_family(rng: random.Random, size: Size, band: Band) -> Family:
    """A family of `band`, by the emphasis of `size`."""
    families = families_of(band)
    return rng.choices(families, [size.emphasis.get(family.name, 1.0) for family in families])[0]


def slices_of(examples: Sequence[Example], pad: int, slices: int) -> Iterator[Slice]:
    """Cut `examples`, sorted by length, into `slices` slices."""
    ordered = sorted(examples, key=lambda example: len(example[0]))
    share = -(-len(ordered) // slices)
    for start in range(0, len(ordered), share):
        yield collate(ordered[start : start + share], pad)


def collate(examples: Sequence[Example], pad: int) -> Slice:
    """Pad to one length and mark where answers are predicted."""
    length = max(len(ids) for ids, _ in examples)
    rows, columns, targets = [], [], []
    for row, (ids, start) in enumerate(examples):
        span = range(start, len(ids))
        rows += [row] * len(span)
        columns += [i - 1 for i in span]
        targets += ids[start:]
    tokens = torch.tensor([ids + [pad] * (length - len(ids)) for ids, _ in examples])
    return Slice(tokens, (torch.tensor(rows), torch.tensor(columns)), torch.tensor(targets))
