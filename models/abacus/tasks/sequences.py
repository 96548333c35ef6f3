"""The next number of a sequence: constant steps up or down by their size, then growing steps."""

from __future__ import annotations

import random

from models.abacus.problem import Band, Family, Question

TEMPLATES = (
    "What comes next: {list}?",
    "Next number: {list}?",
    "Continue the sequence {list}.",
    "Which number follows {list}?",
)


def _next(terms: list[int]) -> Question:
    shown = " ".join(map(str, terms[:-1]))
    return Question(shown, str(terms[-1]), TEMPLATES, {"list": shown})


def _steps(start: int, step: int) -> Question:
    return _next([start + step * i for i in range(4)])


def _easy(rng: random.Random) -> Question:
    return _steps(rng.randint(1, 60), rng.choice((1, 2, 5, 10)))


def _medium(rng: random.Random) -> Question:
    return _steps(rng.randint(1, 60), rng.choice((3, 4, 6, 7, 8, 9)))


def _hard(rng: random.Random) -> Question:
    if rng.random() < 0.5:
        return _steps(rng.randint(60, 99), -rng.randint(2, 12))
    return _steps(rng.randint(100, 900), rng.randint(2, 12))


def _expert(rng: random.Random) -> Question:
    start, step, growth = rng.randint(1, 40), rng.randint(2, 12), rng.randint(2, 9)
    return _next([start + step * i + growth * i * (i - 1) // 2 for i in range(5)])


FAMILY = Family("sequence", {Band.EASY: _easy, Band.MEDIUM: _medium, Band.HARD: _hard, Band.EXPERT: _expert})
