"""Features are stable, bounded and total."""

from itertools import pairwise
from math import log1p
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.features import CROSSED_WORDS, FEATURE_VERSION, HEAD_CHARS, SURFACE, TAIL_CHARS, features

ANY_TEXT = st.text(st.characters(), max_size=3000)
"""Everything a JSON string can hold, lone surrogates included."""


WORDS = ["add", "sort", "é", "straße", "aé", "éa", "数学", "²", "x" * 23, "x" * 24, "x" * 25, "x" * 26]
NUMBERS = ["7", "07", "42", "100", "1,000", "3.14", "2.50", "00", "9" * 11, "9" * 12, "9" * 13, "1" + "0" * 30]
TOKENS = st.sampled_from([*WORDS, *NUMBERS, "+", "("])
"""Words, numbers and symbols, each one token when blanks stand between them."""


def spelled_out(tokens: list[str]) -> list[str]:
    """The text of every gram as it is defined, the slow way."""
    numbers = [token for token in tokens if token[0] in "0123456789"]
    words = [token[:24] for token in tokens if token.isalnum() and token not in numbers]
    digits = [number.replace(",", "").replace(".", "") for number in numbers]
    longest = min(12, max(map(len, digits), default=0))
    sizes = [f"\tdigits={longest}", f"\tnumbers={len(numbers)}", f"\twords={len(words)}"]
    shaped = [shape_of(token) if token in numbers else token[:24] for token in tokens]
    return [
        *(f" {token}" for token in shaped),
        *(f" {before} {token}" for before, token in pairwise(shaped)),
        *(f" ={number}" for number in numbers if len(number) <= 2),
        *(f"{size} {word}" for word in words[:CROSSED_WORDS] for size in sizes),
    ]


def shape_of(number: str) -> str:
    digits = number.replace(",", "").replace(".", "")
    zeros = len(digits) - len(digits.rstrip("0"))
    return f"#{min(12, len(digits))}" + (f"z{zeros}" if zeros else "")


def surface(text: str) -> dict[str, float]:
    return dict(zip(SURFACE, features(text).surface, strict=True))


def test_golden_hashes() -> None:
    """Fitted files depend on these numbers: raise FEATURE_VERSION when they change."""
    assert FEATURE_VERSION == 1
    assert features("What is 37 + 80?").grams == (
        *(2621519207, 3124719514, 2977085715, 2028064541, 377845873, 1414332691, 368434906, 2880648405, 4011695227),
        *(3776169694, 2625866422, 95709235, 3998765555, 278328799, 257495233, 3101475080, 3713147932),
    )


def test_surface_is_what_its_names_say_in_their_order() -> None:
    chars, words, numbers = log1p(26) / log1p(100_000), log1p(3) / log1p(1_000), log1p(2) / log1p(100)
    lines, questions = log1p(1) / log1p(100), log1p(1) / log1p(10)
    wanted = (chars, words, 4 / 24, numbers, 4 / 12, 6 / 27, 1 / 27, lines, questions, 1.0)
    assert features("What is 1,250 + 8?\n```x```").surface == wanted


@given(st.lists(TOKENS, max_size=40).map(" ".join))
def test_grams_are_the_hashes_of_their_definition(text: str) -> None:
    assert features(text).grams == tuple(dict.fromkeys(crc32(gram.encode()) for gram in spelled_out(text.split())))


def test_grams_are_hashes_of_readable_text() -> None:
    grams = features("Sort 9 words").grams
    assert grams[:3] == (crc32(b" sort"), crc32(b" #1"), crc32(b" words"))
    assert grams[3:5] == (crc32(b" sort #1"), crc32(b" #1 words"))
    assert grams[5] == crc32(b" =9")
    assert grams[6:9] == (crc32(b"\tdigits=1 sort"), crc32(b"\tnumbers=1 sort"), crc32(b"\twords=2 sort"))


@pytest.mark.parametrize(
    ("left", "right"),
    [("Add 371 and 482.", "add 593 AND 117."), ("times 1,234", "times 5678"), ("cost 3.52", "cost 275")],
    ids=["other digits and case", "thousands separator", "decimal point"],
)
def test_numbers_of_one_shape_are_one_token(left: str, right: str) -> None:
    assert features(left).grams == features(right).grams


def test_round_numbers_differ_from_others() -> None:
    assert crc32(b" #3z2") in features("times 100").grams
    assert crc32(b" #3") in features("times 123").grams


def test_only_the_first_words_are_crossed_with_the_size() -> None:
    words = [f"w{chr(97 + place)}" for place in range(CROSSED_WORDS + 1)]
    grams = features(" ".join(words)).grams
    size = f"\twords={len(words)} "
    assert crc32((size + words[-2]).encode()) in grams
    assert crc32((size + words[-1]).encode()) not in grams


def test_reads_the_start_and_the_end_but_not_the_middle() -> None:
    filler = "a " * HEAD_CHARS
    grams = features(f"first {filler} hidden {filler} last").grams
    assert crc32(b" first") in grams
    assert crc32(b" last") in grams
    assert crc32(b" hidden") not in grams


def test_length_is_that_of_the_whole_prompt() -> None:
    bound = HEAD_CHARS + TAIL_CHARS
    assert surface("a" * 4 * bound)["chars"] > surface("a" * bound)["chars"]


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [
        ("words", "one", "one two three"),
        ("longest_word", "a bb", "a bbbb"),
        ("numbers", "1 2", "1 2 3"),
        ("longest_number", "12 3", "123 4"),
        ("digit_share", "about 1", "about 1111"),
        ("symbol_share", "1 2", "1 + 2"),
        ("lines", "a b", "a\nb"),
        ("questions", "why", "why?"),
        ("code", "x = 1", "```x = 1```"),
    ],
)
def test_surface_measures(name: str, low: str, high: str) -> None:
    assert surface(low)[name] < surface(high)[name]


def test_an_empty_prompt_has_no_features() -> None:
    assert features("").grams == ()
    assert set(features("").surface) == {0.0}


@given(ANY_TEXT)
def test_any_text_has_bounded_features(text: str) -> None:
    found = features(text)
    assert len(found.surface) == len(SURFACE)
    assert all(0.0 <= value <= 1.0 for value in found.surface)
    assert len(set(found.grams)) == len(found.grams)
    assert all(0 <= gram < 2**32 for gram in found.grams)
    assert len(found.grams) <= 3 * (HEAD_CHARS + TAIL_CHARS) + 3 * CROSSED_WORDS
