"""Sums: by the number of operands and their digits, from 47 + 8 to five-digit and three-operand sums."""

from __future__ import annotations

import random

from models.abacus.problem import Band, Family, Question

TEMPLATES = ("What is {a} + {b}?", "{a} + {b} =", "Add {a} and {b}.", "Find the sum of {a} and {b}.", "{a} plus {b}?")
LONG_TEMPLATES = ("What is {a} + {b} + {c}?", "{a} + {b} + {c} =", "Add {a}, {b} and {c}.")


def _pair(a: int, b: int) -> Question:
    low, high = sorted((a, b))
    return Question(f"{low}+{high}", str(a + b), TEMPLATES, {"a": a, "b": b})


def _easy(rng: random.Random) -> Question:
    return _pair(rng.randint(10, 99), rng.randint(1, 9))


def _medium(rng: random.Random) -> Question:
    return _pair(rng.randint(10, 99), rng.randint(10, 99))


def _hard(rng: random.Random) -> Question:
    return _pair(rng.randint(100, 999), rng.randint(100, 999))


def _expert(rng: random.Random) -> Question:
    if rng.random() < 0.5:
        return _pair(rng.randint(10_000, 99_999), rng.randint(10_000, 99_999))
    terms = [rng.randint(100, 999) for _ in range(3)]
    content = "+".join(map(str, sorted(terms)))
    return Question(content, str(sum(terms)), LONG_TEMPLATES, dict(zip("abc", terms, strict=True)))


FAMILY = Family("sum", {Band.EASY: _easy, Band.MEDIUM: _medium, Band.HARD: _hard, Band.EXPERT: _expert})
