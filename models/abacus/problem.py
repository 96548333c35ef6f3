"""What a problem is: four bands, one question with one exact answer, and how an answer is judged.

Knows nothing of how questions are drawn or of any model. Invariant: two problems with the same `key` ask
the same thing, whatever their wording, so a key is what gets held out.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum


class Band(StrEnum):
    """How hard a problem is, drawn by family, number of operands and length of the numbers."""

    EASY = "easy"
    MEDIUM = "medium"
    HARD = "hard"
    EXPERT = "expert"


@dataclass(frozen=True, slots=True)
class Problem:
    """One prompt, its only right answer, and the canonical content (`key`) behind the wording."""

    family: str
    band: Band
    prompt: str
    answer: str
    key: str


@dataclass(frozen=True, slots=True)
class Question:
    """What a family draws before it is worded: `slots` fill any one of `templates`."""

    content: str
    answer: str
    templates: tuple[str, ...]
    slots: Mapping[str, object]


Draw = Callable[[random.Random], Question]


@dataclass(frozen=True, slots=True)
class Family:
    """A kind of task: one drawing function for each band it occurs in."""

    name: str
    draws: Mapping[Band, Draw]

    def problem(self, rng: random.Random, band: Band) -> Problem:
        """Draw and word one problem of `band`. Raises KeyError when the family has no such band."""
        question = self.draws[band](rng)
        prompt = rng.choice(question.templates).format(**question.slots)
        return Problem(self.name, band, prompt, question.answer, f"{self.name}:{question.content}")


def is_right(problem: Problem, text: str) -> bool:
    """True when `text`, stripped of surrounding whitespace, is exactly the answer."""
    return text.strip() == problem.answer
