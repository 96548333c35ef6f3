"""Prompt → sparse features: stable hashes of word uni- and bigrams, plus a few bounded surface measures.

Pure Python and quick: at most `HEAD_CHARS` + `TAIL_CHARS` characters of a prompt are read, so the work is bounded
whatever its length. Knows nothing of models or weights. Invariant: the same text gives the same features on every
machine and in every process; any change to what is extracted raises `FEATURE_VERSION`, which voids fitted files.
"""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from zlib import crc32

FEATURE_VERSION = 1

HEAD_CHARS = 1024
"""Characters read from the start of a prompt, where the instruction usually stands."""
TAIL_CHARS = 512
"""Characters read from its end, where the question often stands. What lies between is only counted."""

CROSSED_WORDS = 8
"""The first words are also hashed together with the size of the task: "sort" with 3 numbers is not "sort" with 9."""

_TOKEN = re.compile(r"[^\W\d_]+|[0-9]+(?:[.,][0-9]+)*|[-+*/^=%<>|&$\\{}()\[\]]")
_SYMBOLS = frozenset("-+*/^=%<>|&$\\{}()[]")
_LONGEST_WORD = 24
_LONGEST_NUMBER = 12


@dataclass(frozen=True, slots=True)
class Features:
    """`surface`: one value in [0, 1] per name in `SURFACE`; `grams`: distinct 32-bit hashes, in order of first use."""

    surface: tuple[float, ...]
    grams: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _Read:
    """A prompt as far as it is read: its true length, the excerpt in lower case, and what was found in it."""

    chars: int
    text: str
    tokens: list[str]
    words: list[str]
    numbers: list[str]
    longest_number: int
    """Digits of the longest number."""


def _saturating(value: float, full: float) -> float:
    """log-scaled to [0, 1]: 1 at `full` and beyond."""
    return min(1.0, math.log1p(value) / math.log1p(full))


def _digits(number: str) -> str:
    return number.replace(".", "").replace(",", "")


def _read(text: str) -> _Read:
    excerpt = text if len(text) <= HEAD_CHARS + TAIL_CHARS else f"{text[:HEAD_CHARS]}\n{text[-TAIL_CHARS:]}"
    lowered = excerpt.lower()
    tokens = _TOKEN.findall(lowered)
    numbers = [token for token in tokens if token[0].isdecimal()]
    words = [token for token in tokens if token not in _SYMBOLS and not token[0].isdecimal()]
    longest = max((len(_digits(number)) for number in numbers), default=0)
    return _Read(len(text), lowered, tokens, words, numbers, min(_LONGEST_NUMBER, longest))


_MEASURES: tuple[tuple[str, Callable[[_Read], float]], ...] = (
    ("chars", lambda read: _saturating(read.chars, 100_000)),
    ("words", lambda read: _saturating(len(read.words), 1_000)),
    ("longest_word", lambda read: min(1.0, max(map(len, read.words), default=0) / _LONGEST_WORD)),
    ("numbers", lambda read: _saturating(len(read.numbers), 100)),
    ("longest_number", lambda read: read.longest_number / _LONGEST_NUMBER),
    ("digit_share", lambda read: sum(map(len, read.numbers)) / (1 + len(read.text))),
    ("symbol_share", lambda read: (len(read.tokens) - len(read.words) - len(read.numbers)) / (1 + len(read.text))),
    ("lines", lambda read: _saturating(read.text.count("\n"), 100)),
    ("questions", lambda read: _saturating(read.text.count("?"), 10)),
    ("code", lambda read: float("```" in read.text)),
)

SURFACE: tuple[str, ...] = tuple(name for name, _ in _MEASURES)
"""What each surface value measures, in order."""


def features(text: str) -> Features:
    """The features of one prompt. Never raises, whatever the text."""
    read = _read(text)
    return Features(tuple(measure(read) for _, measure in _MEASURES), _grams(read))


def _grams(read: _Read) -> tuple[int, ...]:
    """Hashes of each token, each pair of neighbours, short numbers literally, and first words by size of the task."""
    tokens = [_encoded(token) for token in read.tokens]
    singles = [crc32(token) for token in tokens]
    pairs = [crc32(token, before) for token, before in zip(tokens[1:], singles, strict=False)]
    literals = [crc32(b" =" + number.encode()) for number in read.numbers if len(number) <= 2]
    return tuple(dict.fromkeys([*singles, *pairs, *literals, *_crosses(read)]))


def _crosses(read: _Read) -> list[int]:
    sizes = (f"\tdigits={read.longest_number}", f"\tnumbers={len(read.numbers)}", f"\twords={len(read.words)}")
    seeds = [crc32(size.encode()) for size in sizes]
    return [crc32(_encoded(word), seed) for word in read.words[:CROSSED_WORDS] for seed in seeds]


def _encoded(token: str) -> bytes:
    """A token as it is hashed: a leading blank, and numbers by shape, so that unseen numbers are not unseen words."""
    if not token[0].isdecimal():
        return b" " + token[:_LONGEST_WORD].encode()
    digits = _digits(token)
    zeros = len(digits) - len(digits.rstrip("0"))
    return f" #{min(_LONGEST_NUMBER, len(digits))}{f'z{zeros}' if zeros else ''}".encode()
