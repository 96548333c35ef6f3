"""Which day of the week is so many days after or before another, by the number of days."""

from __future__ import annotations

import random

from models.abacus.problem import Band, Family, Question

DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
AFTER = (
    "Which day is {n} days after {day}?",
    "What day comes {n} days after {day}?",
    "Today is {day}. Which day is it in {n} days?",
    "{n} days after {day}?",
)
BEFORE = (
    "Which day is {n} days before {day}?",
    "What day comes {n} days before {day}?",
    "Today is {day}. Which day was it {n} days ago?",
    "{n} days before {day}?",
)


def _step(rng: random.Random, days: int, backwards: bool = False) -> Question:
    start = rng.randrange(7)
    target = DAYS[(start + (-days if backwards else days)) % 7]
    content = f"{DAYS[start]} {'-' if backwards else '+'} {days}"
    return Question(content, target, BEFORE if backwards else AFTER, {"n": days, "day": DAYS[start]})


def _medium(rng: random.Random) -> Question:
    return _step(rng, rng.randint(2, 30))


def _hard(rng: random.Random) -> Question:
    return _step(rng, rng.randint(2, 30), backwards=True)


def _expert(rng: random.Random) -> Question:
    return _step(rng, rng.randint(100, 9999), backwards=rng.random() < 0.5)


FAMILY = Family("weekday", {Band.MEDIUM: _medium, Band.HARD: _hard, Band.EXPERT: _expert})
