"""Differences of two whole numbers, never negative: by the digits of both."""

from __future__ import annotations

import random

from models.abacus.problem import Band, Family, Question

TEMPLATES = (
    "What is {a} - {b}?",
    "{a} - {b} =",
    "Subtract {b} from {a}.",
    "Take {b} away from {a}.",
    "{a} minus {b}?",
)


def _difference(a: int, b: int) -> Question:
    low, high = sorted((a, b))
    return Question(f"{high}-{low}", str(high - low), TEMPLATES, {"a": high, "b": low})


def _easy(rng: random.Random) -> Question:
    return _difference(rng.randint(10, 99), rng.randint(1, 9))


def _medium(rng: random.Random) -> Question:
    return _difference(rng.randint(10, 99), rng.randint(10, 99))


def _hard(rng: random.Random) -> Question:
    return _difference(rng.randint(100, 999), rng.randint(100, 999))


def _expert(rng: random.Random) -> Question:
    return _difference(rng.randint(10_000, 99_999), rng.randint(1_000, 99_999))


FAMILY = Family("difference", {Band.EASY: _easy, Band.MEDIUM: _medium, Band.HARD: _hard, Band.EXPERT: _expert})
