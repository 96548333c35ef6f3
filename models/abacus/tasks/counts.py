"""Counting how often a digit occurs in a list. Few answers are possible, so it stays in the two lower bands."""

from __future__ import annotations

import random

from models.abacus.problem import Band, Family, Question

TEMPLATES = (
    "How many {d}s in {list}?",
    "Count the {d}s in {list}.",
    "How often does {d} occur in {list}?",
    "Count {d} in {list}.",
)


def _count(rng: random.Random, length: int) -> Question:
    digit = rng.choice("0123456789")
    others = [d for d in "0123456789" if d != digit]
    hits = rng.randint(1, length - 1)
    items = [digit] * hits + rng.choices(others, k=length - hits)
    rng.shuffle(items)
    listed = " ".join(items)
    return Question(f"{digit} in {listed}", str(hits), TEMPLATES, {"d": digit, "list": listed})


def _easy(rng: random.Random) -> Question:
    return _count(rng, rng.randint(3, 4))


def _medium(rng: random.Random) -> Question:
    return _count(rng, 6)


FAMILY = Family("count", {Band.EASY: _easy, Band.MEDIUM: _medium})
