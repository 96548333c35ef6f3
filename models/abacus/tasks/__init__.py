"""The task generators, and the public way to draw problems: no torch, no files, deterministic by seed.

Public API: `held_out(per_band, seed)` lists problems no model was trained on, `training(per_band, seed)` lists
problems from the training side, `draw` draws one, and `is_right(problem, text)` judges an answer.
Both lists run from easy to expert, `per_band` problems each: `from models.abacus.tasks import held_out, is_right`.
"""

from __future__ import annotations

import random

from models.abacus.holdout import is_held_out
from models.abacus.problem import Band, Family, Problem, is_right
from models.abacus.tasks import (
    comparisons,
    counts,
    differences,
    division,
    extremes,
    number_words,
    positions,
    products,
    replacements,
    reversals,
    sequences,
    sorting,
    sums,
    weekdays,
)

__all__ = ["FAMILIES", "Band", "Problem", "draw", "families_of", "held_out", "is_right", "training"]

FAMILIES: tuple[Family, ...] = (
    sums.FAMILY,
    differences.FAMILY,
    products.FAMILY,
    comparisons.FAMILY,
    extremes.FAMILY,
    sorting.FAMILY,
    reversals.FAMILY,
    counts.FAMILY,
    weekdays.FAMILY,
    number_words.FAMILY,
    sequences.FAMILY,
    positions.FAMILY,
    replacements.FAMILY,
    division.FAMILY,
)
_BY_BAND = {band: tuple(family for family in FAMILIES if band in family.draws) for band in Band}


def families_of(band: Band) -> tuple[Family, ...]:
    """The families that have problems in `band`."""
    return _BY_BAND[band]


def draw(rng: random.Random, family: Family, band: Band, *, from_held_out: bool = False) -> Problem:
    """One problem from the training side, or from the held-out side."""
    while True:
        problem = family.problem(rng, band)
        if is_held_out(problem.key) == from_held_out:
            return problem


def held_out(per_band: int, seed: int = 0) -> list[Problem]:
    """`per_band` held-out problems of each band, families drawn evenly, prompts distinct, easy to expert."""
    return _distinct(per_band, seed, from_held_out=True)


def training(per_band: int, seed: int = 0) -> list[Problem]:
    """`per_band` training-side problems of each band: disjoint from every `held_out` list."""
    return _distinct(per_band, seed, from_held_out=False)


def _distinct(per_band: int, seed: int, *, from_held_out: bool) -> list[Problem]:
    rng = random.Random(f"abacus:{seed}:{from_held_out}")
    problems: list[Problem] = []
    for band in Band:
        problems += _distinct_in(rng, band, per_band, from_held_out)
    return problems


def _distinct_in(rng: random.Random, band: Band, count: int, from_held_out: bool) -> list[Problem]:
    found: dict[str, Problem] = {}
    tries = 0
    while len(found) < count:
        problem = draw(rng, rng.choice(families_of(band)), band, from_held_out=from_held_out)
        found.setdefault(problem.prompt, problem)
        tries += 1
        if tries > 50 * count + 1000:
            raise ValueError(f"band {band} has fewer than {count} distinct prompts")
    return list(found.values())
