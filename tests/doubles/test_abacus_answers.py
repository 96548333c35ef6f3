"""The stand-in's solver answers whatever the Abacus families can word, and nothing else."""

import pytest

from models.abacus.tasks import held_out, training
from tests.doubles.abacus_answers import answer, number_of


@pytest.mark.parametrize("problems", [held_out, training])
def test_every_drawn_problem_is_answered_right(problems: object) -> None:
    drawn = problems(1500, seed=7)  # type: ignore[operator]
    wrong = {problem.prompt: answer(problem.prompt) for problem in drawn if answer(problem.prompt) != problem.answer}
    assert wrong == {}


@pytest.mark.parametrize(
    "prompt",
    ["", "Tell me a story.", "What is love?", "The sixth of 1 2 3?", "What is 8 / 0?", "What comes next: 4?"],
)
def test_anything_else_is_not_answered(prompt: str) -> None:
    assert answer(prompt) is None


@pytest.mark.parametrize(
    ("words", "number"),
    [("41", 41), ("forty-one", 41), ("nine hundred", 900), ("two thousand three hundred four", 2304)],
)
def test_number_words_are_read(words: str, number: int) -> None:
    assert number_of(words) == number
