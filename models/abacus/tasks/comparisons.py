"""Comparing two numbers. A coin toss gets half of these, so the family stays in the two lower bands."""

from __future__ import annotations

import random

from models.abacus.problem import Band, Family, Question

LARGER = (
    "Which is larger, {a} or {b}?",
    "Which is more, {a} or {b}?",
    "Pick the larger number: {a} or {b}.",
    "Is {a} or {b} the larger number?",
)
SMALLER = (
    "Which is smaller, {a} or {b}?",
    "Which is less, {a} or {b}?",
    "Pick the smaller number: {a} or {b}.",
    "Is {a} or {b} the smaller number?",
)


def _compare(rng: random.Random, a: int, b: int) -> Question:
    low, high = sorted((a, b))
    if rng.random() < 0.5:
        return Question(f"max {low} {high}", str(high), LARGER, {"a": a, "b": b})
    return Question(f"min {low} {high}", str(low), SMALLER, {"a": a, "b": b})


def _easy(rng: random.Random) -> Question:
    a, b = rng.sample(range(10, 100), 2)
    return _compare(rng, a, b)


def _medium(rng: random.Random) -> Question:
    a = rng.randint(1000, 9999)
    place = rng.choice((1, 10, 100, 1000))
    b = a - a % (place * 10) + rng.randint(0, place * 10 - 1)
    return _compare(rng, a, max(b, 1000)) if b != a else _medium(rng)


FAMILY = Family("comparison", {Band.EASY: _easy, Band.MEDIUM: _medium})
