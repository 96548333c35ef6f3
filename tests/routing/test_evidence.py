"""Evidence of an answer: what each group of features sees, bounded work, and prefixes."""

import math
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from routing.evidence import HEAD_CHARS, NAMES, TAIL_CHARS, evidence, excerpt, prefix_evidence

PROMPT = "Ann has 12 apples and eats a third of them. Each costs $2. How much are the apples that are left worth?"
GOOD = "She eats 12 / 3 = 4 apples.\nThat leaves 12 - 4 = 8 apples.\nThey are worth 8 * 2 = $16.\n#### 16"


def named(*args: object, **options: object) -> dict[str, float]:
    return dict(zip(NAMES, evidence(*args, **options), strict=True))  # type: ignore[arg-type]


def test_every_value_has_one_name() -> None:
    assert len(NAMES) == len(set(NAMES)) == len(evidence(PROMPT, GOOD))


@pytest.mark.parametrize(
    ("answer", "feature", "value"),
    [
        pytest.param(GOOD, "equations", 3, id="equations"),
        pytest.param(GOOD, "wrong_equations", 0, id="right"),
        pytest.param(GOOD.replace("= 8", "= 9"), "wrong_equations", 1, id="wrong"),
        pytest.param("12 / 3 = 5", "wrong_last", 1, id="wrong-last"),
        pytest.param("10 / 3 = 3.3", "rounded_equations", 1, id="rounded"),
        pytest.param(GOOD, "steps", 3, id="steps"),
        pytest.param(GOOD, "final_is_last_result", 1, id="end-follows"),
        pytest.param(GOOD.replace("#### 16", "#### 17"), "final_is_result", 0, id="end-from-nowhere"),
        pytest.param(GOOD, "final_marked", 1, id="marked"),
        pytest.param("16", "final_marked", 0, id="unmarked"),
        pytest.param("16", "final_integral", 1, id="integral"),
        pytest.param("It is 2.5", "final_integral", 0, id="fraction"),
        pytest.param("It is 1,200", "final_zeros", 2, id="round"),
        pytest.param("0", "final_zero", 1, id="zero"),
        pytest.param("no number", "final_stated", 0, id="no-number"),
        pytest.param("It is 12", "final_in_prompt", 1, id="from-prompt"),
        pytest.param("about 7 apples\nworth a lot", "final_numbers", 1, id="number-before-end"),
        pytest.param("2 and 12 apples", "unused_numbers", 0, id="used"),
        pytest.param("12 apples", "unused_numbers", 1, id="unused"),
        pytest.param("12 + 77 = 89", "unknown_operands", 1, id="from-nowhere"),
        pytest.param("12 + 60 = 72", "unusual_operands", 0, id="anyone-knows"),
        pytest.param("12 - 2 = 10\n12 * 2 = 24\n#### 24", "dangling_results", 1, id="dangling"),
        pytest.param("2 - 12 = -10", "negative_results", 1, id="negative"),
        pytest.param("", "empty", 1, id="empty"),
        pytest.param("I'm sorry, I cannot help.", "refusal", 1, id="refusal"),
        pytest.param("a line\na line\nanother", "repeated_lines", 1, id="repeats"),
        pytest.param("However, approximately", "hedges", 2, id="hedges"),
        pytest.param("Let us find out, since", "deliberation", 3, id="deliberation"),
        pytest.param("done\n\n", "blank_end", 2, id="blank-end"),
        pytest.param("```python\nx = (1\n```", "code_broken", 1, id="code"),
        pytest.param("```", "fence_open", 1, id="fence"),
    ],
)
def test_sees_what_is_in_the_text(answer: str, feature: str, value: float) -> None:
    assert named(PROMPT, answer)[feature] == value


def test_percent_in_the_prompt_explains_what_it_stands_for() -> None:
    found = named("A tax of 20% on 50, at least 500.", "50 * 1.2 = 60")
    assert found["unknown_operands"] == 0
    assert found["prompt_percents"] == 1


def test_without_log_probabilities_a_flag_says_so() -> None:
    found = named(PROMPT, GOOD)
    assert found["no_logprobs"] == found["no_margins"] == 1
    assert found["logprob_mean"] == found["margin_mean"] == 0


def test_log_probabilities_by_quantile_and_edge() -> None:
    values = [-0.1] * 8 + [-2.0] * 4 + [-math.inf] + [-0.5] * 8
    found = named(PROMPT, GOOD, values, margins=[0.0, 1e9])
    assert found["no_logprobs"] == found["no_margins"] == 0
    assert found["logprob_min"] == -30
    assert found["logprob_first"] == pytest.approx(-0.1)
    assert found["logprob_last"] == pytest.approx(-0.5)
    assert found["logprob_d50"] == -0.5
    assert found["logprob_doubtful"] == pytest.approx(5 / 21)
    assert (found["margin_mean"], found["margin_min"]) == (0.5, 0.0)
    assert found["tokens"] == math.log1p(21)


def test_no_feature_is_the_sum_of_log_probabilities() -> None:
    once, thrice = (evidence(PROMPT, GOOD, [-0.3] * count, completion_tokens=10) for count in (10, 30))
    assert once == pytest.approx(thrice)


def test_tokens_against_expectation() -> None:
    assert named(PROMPT, GOOD, completion_tokens=99, expected_tokens=49)["token_excess"] == pytest.approx(math.log(2))
    assert named(PROMPT, GOOD, completion_tokens=99)["token_excess"] == 0
    assert named(PROMPT, GOOD, expected_tokens=49)["token_excess"] == 0


@pytest.mark.parametrize(("reason", "feature"), [("length", "cut_off"), ("content_filter", "filtered")])
def test_a_bad_finish_is_seen(reason: str, feature: str) -> None:
    assert named(PROMPT, GOOD, None, reason)[feature] == 1
    assert named(PROMPT, GOOD, None, "stop")[feature] == 0


def test_what_was_asked_for_is_checked_on_whole_answers_only() -> None:
    schema = {"type": "object", "required": ["a"]}
    assert named(PROMPT, '{"b": 1}', schema=schema)["schema_misfit"] == 1
    assert named(PROMPT, '{"b": ', schema=schema)["json_broken"] == 1
    assert named(PROMPT, '{"b": ', schema=schema, complete=False)["json_broken"] == 0
    assert named(PROMPT, "", tools=[("{", {})])["tool_broken"] == 1
    assert named(PROMPT, "", tools=[("{}", {})])["empty"] == 0
    assert named(PROMPT, "", tools=[("{", {})], complete=False)["tool_broken"] == 0


def test_a_prefix_is_not_blamed_for_where_it_was_cut() -> None:
    cut = GOOD.index("= 16") if "= 16" in GOOD else GOOD.index("$16") + 2
    found = dict(zip(NAMES, prefix_evidence(PROMPT, GOOD, chars=cut), strict=True))
    assert found["partial"] == 1
    assert found["wrong_equations"] == 0
    assert found["equations"] == 2


def test_a_prefix_takes_the_first_characters_and_tokens() -> None:
    found = prefix_evidence(PROMPT, GOOD, [-1.0, -2.0, -9.0], chars=10, tokens=2, margins=[1.0, 2.0, 0.0])
    assert found == evidence(PROMPT, GOOD[:10], [-1.0, -2.0], margins=[1.0, 2.0], complete=False)
    assert prefix_evidence(PROMPT, GOOD) == evidence(PROMPT, GOOD, complete=False)


def test_of_a_long_text_head_and_tail_are_read() -> None:
    text = "a" * HEAD_CHARS + "b" * 10_000 + "c" * TAIL_CHARS
    assert excerpt(text) == "a" * HEAD_CHARS + "\n" + "c" * TAIL_CHARS
    assert excerpt(GOOD) == GOOD


@pytest.mark.parametrize("piece", ["1 = 1 + ", "(", "<<", "a ", "\n", "```python\n(", "- ", "9", "####", "?"])
def test_work_is_bounded_whatever_the_answer(piece: str) -> None:
    text = piece * 100_000
    start = time.process_time()
    assert all(math.isfinite(value) for value in evidence(text, text))
    assert time.process_time() - start < 0.5


@settings(max_examples=50, deadline=None)
@given(st.text(max_size=200), st.text(max_size=200), st.lists(st.floats(allow_nan=False), max_size=20), st.booleans())
def test_any_answer_gives_finite_numbers(prompt: str, answer: str, logprobs: list[float], complete: bool) -> None:
    found = evidence(prompt, answer, logprobs, complete=complete, completion_tokens=len(logprobs))
    assert len(found) == len(NAMES)
    assert all(math.isfinite(value) for value in found)
    assert found == evidence(prompt, answer, logprobs, complete=complete, completion_tokens=len(logprobs))
