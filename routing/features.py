"""Prompt → sparse features: stable hashes of word uni- and bigrams, plus a few bounded surface measures.

Pure Python and quick: at most `HEAD_CHARS` + `TAIL_CHARS` characters of a prompt are read, so the work is bounded
whatever its length. Knows nothing of models or weights. Invariant: the same text gives the same features on every
machine and in every process; any change to what is extracted raises `FEATURE_VERSION`, which voids fitted files.
"""

import re
from dataclasses import dataclass
from math import log1p
from zlib import crc32

FEATURE_VERSION = 1

HEAD_CHARS = 1024
"""Characters read from the start of a prompt, where the instruction usually stands."""
TAIL_CHARS = 512
"""Characters read from its end, where the question often stands. What lies between is only counted."""

CROSSED_WORDS = 8
"""The first words are also hashed together with the size of the task: "sort" with 3 numbers is not "sort" with 9."""

SURFACE = (
    *("chars", "words", "longest_word", "numbers", "longest_number"),
    *("digit_share", "symbol_share", "lines", "questions", "code"),
)
"""What each surface value measures, in order."""

_NOT_BETWEEN = r"""(?=[^\t\n\r !"#',.:;?@_`~])"""
_TOKEN = re.compile(_NOT_BETWEEN + r"(?:[a-z]+[^\W\d_]*|[^\W\d_]+|[0-9]+(?:[.,][0-9]+)*|[-+*/^=%<>|&$\\{}()\[\]])")
"""A word, a number or a symbol. `_NOT_BETWEEN` and `a-z` change no token: with them the same ones are found sooner."""
_NUMERALS = frozenset("0123456789")
_LONGEST_WORD = 24
_LONGEST_NUMBER = 12

_FULL_CHARS, _FULL_WORDS = log1p(100_000), log1p(1_000)
_FULL_NUMBERS, _FULL_LINES, _FULL_QUESTIONS = log1p(100), log1p(100), log1p(10)

_LITERAL = crc32(b" =")
_BY_DIGITS, _BY_NUMBERS, _BY_WORDS = crc32(b"\tdigits="), crc32(b"\tnumbers="), crc32(b"\twords=")
"""Hashes of what stands before a token, to go on from: `crc32(token, crc32(before))` is `crc32(before + token)`."""


@dataclass(frozen=True, slots=True)
class Features:
    """`surface`: one value in [0, 1] per name in `SURFACE`; `grams`: distinct 32-bit hashes, in order of first use."""

    surface: tuple[float, ...]
    grams: tuple[int, ...]


def features(text: str) -> Features:
    """The features of one prompt. Never raises, whatever the text."""
    excerpt = text if len(text) <= HEAD_CHARS + TAIL_CHARS else f"{text[:HEAD_CHARS]}\n{text[-TAIL_CHARS:]}"
    lowered = excerpt.lower()
    tokens = _TOKEN.findall(lowered)
    numbers = [token for token in tokens if token[0] in _NUMERALS]
    longest_number = _shape_numbers(tokens, numbers) if numbers else 0
    words = list(filter(str.isalnum, tokens))
    longest_word = max(map(len, words)) if words else 0
    if longest_word > _LONGEST_WORD:
        longest_word = _LONGEST_WORD
        tokens = [token[:_LONGEST_WORD] for token in tokens]
    size = 1 + len(lowered)
    surface = (
        _saturating(len(text), _FULL_CHARS),
        _saturating(len(words), _FULL_WORDS),
        longest_word / _LONGEST_WORD,
        _saturating(len(numbers), _FULL_NUMBERS),
        longest_number / _LONGEST_NUMBER,
        len("".join(numbers)) / size,
        (len(tokens) - len(words) - len(numbers)) / size,
        _saturating(lowered.count("\n"), _FULL_LINES),
        _saturating(lowered.count("?"), _FULL_QUESTIONS),
        1.0 if "```" in lowered else 0.0,
    )
    return Features(surface, _grams(tokens, words, numbers, longest_number))


def _shape_numbers(tokens: list[str], numbers: list[str]) -> int:
    """Put shapes for `numbers` among `tokens`: unseen numbers are not unseen words. Gives the longest's digits."""
    at, longest = -1, 0
    for number in numbers:
        digits = number.replace(".", "").replace(",", "")
        count = len(digits)
        zeros = count - len(digits.rstrip("0"))
        if count > _LONGEST_NUMBER:
            count = _LONGEST_NUMBER
        if count > longest:
            longest = count
        at = tokens.index(number, at + 1)
        tokens[at] = f"#{count}z{zeros}" if zeros else f"#{count}"
    return longest


def _saturating(count: int, full: float) -> float:
    """log-scaled to [0, 1]; `full`: the `log1p` of the count that, like all beyond it, gives 1."""
    if not count:
        return 0.0
    value = log1p(count) / full
    return value if value < 1.0 else 1.0


def _grams(tokens: list[str], words: list[str], numbers: list[str], longest: int) -> tuple[int, ...]:
    """Hashes of each token, each pair of neighbours, short numbers literally, and first words by size of the task.

    Each token is hashed with a blank before it; all are encoded at once, which no line feed in a token can upset.
    """
    if not tokens:
        return ()
    encoded = (" " + "\n ".join(tokens)).encode().split(b"\n")
    singles = list(map(crc32, encoded))
    pairs = map(crc32, encoded[1:], singles)
    literals = [crc32(number.encode(), _LITERAL) for number in numbers if len(number) <= 2]
    grams = [*singles, *pairs, *literals]
    by_digits = crc32(b"%d" % longest, _BY_DIGITS)
    by_numbers = crc32(b"%d" % len(numbers), _BY_NUMBERS)
    by_words = crc32(b"%d" % len(words), _BY_WORDS)
    for word in words[:CROSSED_WORDS]:
        cut = b" " + word[:_LONGEST_WORD].encode()
        grams += crc32(cut, by_digits), crc32(cut, by_numbers), crc32(cut, by_words)
    return tuple(dict.fromkeys(grams))
