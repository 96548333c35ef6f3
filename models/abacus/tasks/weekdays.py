"""Which day of the week is so many days after or before another, within a week or far beyond it.

Within a week a date may stand beside the day. It changes nothing, but it makes each step of the calendar
occur in many distinct problems, so that a held-out one can be answered from the others.
"""

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


def _step(start: int, date: str, days: int, backwards: bool) -> Question:
    shown = f"{DAYS[start]}{date}"
    target = DAYS[(start + (-days if backwards else days)) % 7]
    content = f"{shown} {'-' if backwards else '+'} {days}"
    return Question(content, target, BEFORE if backwards else AFTER, {"n": days, "day": shown})


def _within_a_week(rng: random.Random, backwards: bool) -> Question:
    date = f" {rng.randint(1, 31)}" if rng.random() < 0.75 else ""
    return _step(rng.randrange(7), date, rng.randint(2, 6), backwards)


def _medium(rng: random.Random) -> Question:
    return _within_a_week(rng, backwards=False)


def _hard(rng: random.Random) -> Question:
    return _within_a_week(rng, backwards=True)


def _expert(rng: random.Random) -> Question:
    return _step(rng.randrange(7), "", rng.randint(10, 9999), backwards=rng.random() < 0.5)


FAMILY = Family("weekday", {Band.MEDIUM: _medium, Band.HARD: _hard, Band.EXPERT: _expert})
