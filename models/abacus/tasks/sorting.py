"""Sorting distinct numbers: digits by how many, then two-digit numbers."""

from __future__ import annotations

import random

from models.abacus.problem import Band, Family, Question

ASCENDING = (
    "Sort {list}.",
    "Sort {list} in ascending order.",
    "Put {list} in order.",
    "Order {list} from low to high.",
)
DESCENDING = ("Sort {list} in descending order.", "Order {list} from high to low.")


def _sort(numbers: list[int], descending: bool = False) -> Question:
    ordered = sorted(numbers, reverse=descending)
    content = f"{'down' if descending else 'up'} {' '.join(map(str, numbers))}"
    templates = DESCENDING if descending else ASCENDING
    return Question(content, " ".join(map(str, ordered)), templates, {"list": " ".join(map(str, numbers))})


def _easy(rng: random.Random) -> Question:
    return _sort(rng.sample(range(10), rng.randint(3, 4)))


def _medium(rng: random.Random) -> Question:
    return _sort(rng.sample(range(10), 5))


def _hard(rng: random.Random) -> Question:
    if rng.random() < 0.5:
        return _sort(rng.sample(range(10), 6), descending=True)
    return _sort(rng.sample(range(10, 100), rng.randint(3, 4)))


FAMILY = Family("sort", {Band.EASY: _easy, Band.MEDIUM: _medium, Band.HARD: _hard})
