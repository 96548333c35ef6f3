"""The largest or smallest of a list, and in the hard band the second largest or second smallest."""

from __future__ import annotations

import random

from models.abacus.problem import Band, Family, Question

TEMPLATES = {
    "largest": ("Which is largest: {list}?", "Largest of {list}?", "Find the maximum of {list}.", "Max of {list}?"),
    "smallest": (
        "Which is smallest: {list}?",
        "Smallest of {list}?",
        "Find the minimum of {list}.",
        "Min of {list}?",
    ),
    "second largest": ("Second largest of {list}?", "Find the second largest: {list}."),
    "second smallest": ("Second smallest of {list}?", "Find the second smallest: {list}."),
}
RANKS = {"largest": -1, "smallest": 0, "second largest": -2, "second smallest": 1}


def _extreme(which: str, numbers: list[int]) -> Question:
    answer = sorted(numbers)[RANKS[which]]
    content = f"{which} {' '.join(map(str, sorted(numbers)))}"
    return Question(content, str(answer), TEMPLATES[which], {"list": " ".join(map(str, numbers))})


def _first(rng: random.Random) -> str:
    return rng.choice(("largest", "smallest"))


def _easy(rng: random.Random) -> Question:
    return _extreme(_first(rng), rng.sample(range(10, 100), 3))


def _medium(rng: random.Random) -> Question:
    return _extreme(_first(rng), rng.sample(range(10, 100), rng.randint(4, 5)))


def _hard(rng: random.Random) -> Question:
    return _extreme(f"second {_first(rng)}", rng.sample(range(10, 100), 4))


FAMILY = Family("extreme", {Band.EASY: _easy, Band.MEDIUM: _medium, Band.HARD: _hard})
