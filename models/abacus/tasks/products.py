"""Products: powers of ten, doubling, a two-digit number by one digit, and long multiplication."""

from __future__ import annotations

import random

from models.abacus.problem import Band, Family, Question

TEMPLATES = (
    "What is {a} x {b}?",
    "{a} x {b} =",
    "Multiply {a} by {b}.",
    "Find the product of {a} and {b}.",
    "{a} times {b}?",
)
DOUBLE_TEMPLATES = ("Double {a}.", "What is twice {a}?", "What is {a} x 2?", "Multiply {a} by 2.")


def _product(a: int, b: int, templates: tuple[str, ...] = TEMPLATES) -> Question:
    low, high = sorted((a, b))
    return Question(f"{low}x{high}", str(a * b), templates, {"a": a, "b": b})


def _easy(rng: random.Random) -> Question:
    return _product(rng.randint(2, 999), rng.choice((10, 100)))


def _medium(rng: random.Random) -> Question:
    return _product(rng.randint(101, 999), 2, DOUBLE_TEMPLATES)


def _hard(rng: random.Random) -> Question:
    return _product(rng.randint(11, 99), rng.randint(3, 9))


def _expert(rng: random.Random) -> Question:
    return _product(rng.randint(11, 999), rng.randint(11, 99))


FAMILY = Family("product", {Band.EASY: _easy, Band.MEDIUM: _medium, Band.HARD: _hard, Band.EXPERT: _expert})
