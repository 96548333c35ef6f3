"""Reversing a list, of digits or of words, by its length."""

from __future__ import annotations

import random

from models.abacus.problem import Band, Family, Question

WORDS = ("red", "blue", "green", "black", "white", "cat", "dog", "fox", "owl", "bee", "tea", "milk", "rice", "salt")
TEMPLATES = ("Reverse {list}.", "Write {list} backwards.", "Say {list} in reverse.", "Reverse the list {list}.")


def _reverse(items: list[str]) -> Question:
    forward, backward = " ".join(items), " ".join(reversed(items))
    return Question(forward, backward, TEMPLATES, {"list": forward})


def _items(rng: random.Random, count: int) -> list[str]:
    if rng.random() < 0.5:
        return rng.choices("0123456789", k=count)
    return rng.sample(WORDS, count)


def _easy(rng: random.Random) -> Question:
    return _reverse(_items(rng, rng.randint(3, 4)))


def _medium(rng: random.Random) -> Question:
    return _reverse(_items(rng, rng.randint(5, 6)))


def _hard(rng: random.Random) -> Question:
    return _reverse(_items(rng, rng.randint(7, 8)))


FAMILY = Family("reverse", {Band.EASY: _easy, Band.MEDIUM: _medium, Band.HARD: _hard})
