"""The task generators: right answers, distinct prompts, disjoint splits, no torch."""

from __future__ import annotations

import random
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.abacus.holdout import is_held_out
from models.abacus.problem import Problem
from models.abacus.tasks import FAMILIES, Band, draw, families_of, held_out, is_right, training
from tests.models.abacus.solver import solve

CELLS = [(family, band) for family in FAMILIES for band in family.draws]
CELL_IDS = [f"{family.name}-{band}" for family, band in CELLS]


@pytest.mark.parametrize(("family", "band"), CELLS, ids=CELL_IDS)
def test_answers_agree_with_an_independent_solver(family, band):
    rng = random.Random(7)
    problems = [family.problem(rng, band) for _ in range(300)]
    assert [p.answer for p in problems] == [solve(family.name, p.prompt) for p in problems]


@pytest.mark.parametrize(("family", "band"), CELLS, ids=CELL_IDS)
def test_every_template_has_the_same_answer_and_key(family, band):
    question = family.draws[band](random.Random(3))
    assert len(question.templates) >= 2
    prompts = {template.format(**question.slots) for template in question.templates}
    assert {solve(family.name, prompt) for prompt in prompts} == {question.answer}


def test_there_are_enough_families_in_every_band():
    assert len(FAMILIES) >= 8
    assert all(len(families_of(band)) >= 7 for band in Band)


def test_held_out_prompts_never_occur_in_training():
    evaluated = {problem.prompt for seed in range(3) for problem in held_out(500, seed)}
    rng = random.Random(11)
    trained = {draw(rng, family, band).prompt for family, band in CELLS for _ in range(1500)}
    assert not evaluated & trained


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from(CELLS), st.booleans())
def test_draw_keeps_to_its_side(seed, cell, from_held_out):
    family, band = cell
    problem = draw(random.Random(seed), family, band, from_held_out=from_held_out)
    assert is_held_out(problem.key) is from_held_out


def test_about_one_key_in_ten_is_held_out():
    assert 900 < sum(is_held_out(f"sum:{a}+{a}") for a in range(10_000)) < 1100


@pytest.mark.parametrize("split", [held_out, training], ids=["held_out", "training"])
def test_lists_are_distinct_even_and_repeatable(split):
    problems = split(500)
    assert [p.band for p in problems] == [band for band in Band for _ in range(500)]
    assert len({p.prompt for p in problems}) == 2000
    assert problems == split(500)
    assert problems != split(500, seed=1)


@pytest.mark.parametrize(
    ("text", "right"),
    [("68", True), (" 68\n", True), ("68.", False), ("6 8", False), ("", False)],
    ids=["exact", "whitespace", "full stop", "spaced", "empty"],
)
def test_is_right_wants_the_exact_answer(text, right):
    assert is_right(Problem("sum", Band.EASY, "23 + 45 =", "68", "sum:23+45"), text) is right


def test_tasks_import_without_torch():
    code = "import sys, models.abacus, models.abacus.tasks, models.abacus.evaluate; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
