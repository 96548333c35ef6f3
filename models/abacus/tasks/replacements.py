"""Copying a list with one digit replaced by another, by length; in the hard band the copy is also reversed."""

from __future__ import annotations

import random

from models.abacus.problem import Band, Family, Question

REPLACE = ("Replace {a} with {b} in {list}.", "Change {a} to {b} in {list}.", "Swap every {a} for {b}: {list}.")
REVERSE = ("Reverse {list} with {b} for {a}.", "Reverse {list}, changing {a} to {b}.")


def _replace(rng: random.Random, length: int, backwards: bool = False) -> Question:
    old, new, *others = rng.sample("0123456789", 10)
    items = [old, *rng.choices([old, *others], k=length - 1)]
    rng.shuffle(items)
    result = [new if item == old else item for item in items]
    listed = " ".join(items)
    content = f"{'back ' if backwards else ''}{old}>{new} {listed}"
    answer = " ".join(reversed(result) if backwards else result)
    return Question(content, answer, REVERSE if backwards else REPLACE, {"a": old, "b": new, "list": listed})


def _easy(rng: random.Random) -> Question:
    return _replace(rng, rng.randint(2, 3))


def _medium(rng: random.Random) -> Question:
    return _replace(rng, rng.randint(4, 5))


def _hard(rng: random.Random) -> Question:
    return _replace(rng, rng.randint(4, 5), backwards=True)


FAMILY = Family("replace", {Band.EASY: _easy, Band.MEDIUM: _medium, Band.HARD: _hard})
