"""The item at a position of a list, counted from the start, or from the end in the medium band."""

from __future__ import annotations

import random

from models.abacus.problem import Band, Family, Question

ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth")
FROM_START = (
    "What is the {nth} item of {list}?",
    "Give the {nth} of {list}.",
    "Which is {nth} in {list}?",
    "The {nth} of {list}?",
)
FROM_END = ("What is the {nth} to last of {list}?", "Give the {nth} to last of {list}.", "{nth} from the end: {list}?")


def _place(rng: random.Random, count: int) -> tuple[list[str], int]:
    return rng.sample("0123456789", count), rng.randrange(count)


def _easy(rng: random.Random) -> Question:
    items, place = _place(rng, rng.randint(3, 4))
    listed = " ".join(items)
    return Question(f"{place} {listed}", items[place], FROM_START, {"nth": ORDINALS[place], "list": listed})


def _medium(rng: random.Random) -> Question:
    items, place = _place(rng, rng.randint(5, 6))
    place = max(place, 1)
    listed = " ".join(items)
    return Question(f"-{place} {listed}", items[-1 - place], FROM_END, {"nth": ORDINALS[place], "list": listed})


FAMILY = Family("position", {Band.EASY: _easy, Band.MEDIUM: _medium})
