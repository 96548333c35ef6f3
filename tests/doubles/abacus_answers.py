"""Answers to Abacus prompts, read from the wording alone: the strong model behind the stand-in.

Knows the templates of `models/abacus/tasks` by their shape, not by import, so it also answers prompts it has never
seen. Invariant, tested: every prompt a family can word gets that family's answer; anything else gets None.
"""

import re
from collections.abc import Callable

from models.abacus.tasks.number_words import ONES, TENS, in_words
from models.abacus.tasks.positions import ORDINALS
from models.abacus.tasks.weekdays import DAYS

Reading = Callable[[re.Match[str]], str]

_ORDINAL = "|".join(ORDINALS)
_DATED = rf"(?P<day>{'|'.join(DAYS)})(?: \d+)?"
_LIST = r"(?P<list>\d+(?: \d+)*)"
_ITEMS = r"(?P<list>\w+(?: \w+)*)"
_WORD_VALUES = {word: n for n, word in enumerate(ONES)} | {word: n * 10 for n, word in enumerate(TENS) if word}
_SCALES = {"hundred": 100, "thousand": 1000}


def answer(prompt: str) -> str | None:
    """The exact answer, or None when the prompt is not an Abacus problem."""
    text = prompt.strip()
    for pattern, reading in _READINGS:
        match = pattern.fullmatch(text)
        if match is not None:
            return _read(reading, match)
    return None


def _read(reading: Reading, match: re.Match[str]) -> str | None:
    """None for a question without an answer, such as the sixth of three items or a division by zero."""
    try:
        return reading(match)
    except (IndexError, ZeroDivisionError):
        return None


def number_of(words: str) -> int:
    """The number written as digits or as English words up to 9999. Raises KeyError for any other word."""
    if words.isdigit():
        return int(words)
    total = group = 0
    for word in re.split(r"[ -]", words):
        if word in _SCALES:
            group *= _SCALES[word]
            total, group = (total + group, 0)
        else:
            group += _WORD_VALUES[word]
    return total + group


def _sum(match: re.Match[str]) -> str:
    return str(sum(map(int, re.findall(r"\d+", match[0]))))


def _product(match: re.Match[str]) -> str:
    return str(number_of(match["a"]) * number_of(match["b"]))


def _difference(match: re.Match[str]) -> str:
    return str(int(match["a"]) - int(match["b"]))


def _comparison(match: re.Match[str]) -> str:
    pick = max if match["which"] in ("larger", "more") else min
    return str(pick(int(match["a"]), int(match["b"])))


def _extreme(match: re.Match[str]) -> str:
    numbers = sorted(map(int, match["list"].split()), reverse=match["which"].lower() in ("largest", "maximum", "max"))
    return str(numbers[1 if match["second"] else 0])


def _sort(match: re.Match[str]) -> str:
    descending = (match["how"] or "") in (" in descending order", " from high to low")
    return " ".join(sorted(match["list"].split(), key=int, reverse=descending))


def _reverse(match: re.Match[str]) -> str:
    return " ".join(reversed(match["list"].split()))


def _replace(match: re.Match[str]) -> str:
    items = [match["b"] if item == match["a"] else item for item in match["list"].split()]
    return " ".join(reversed(items) if match[0].startswith("Reverse") else items)


def _count(match: re.Match[str]) -> str:
    return str(match["list"].split().count(match["d"]))


def _weekday(match: re.Match[str]) -> str:
    forwards = match["way"] in ("after", "in")
    return DAYS[(DAYS.index(match["day"]) + int(match["n"]) * (1 if forwards else -1)) % 7]


def _sequence(match: re.Match[str]) -> str:
    terms = list(map(int, match["list"].split()))
    last_step, step_before = terms[-1] - terms[-2], terms[-2] - terms[-3]
    return str(terms[-1] + 2 * last_step - step_before)


def _position(match: re.Match[str]) -> str:
    items, place = match["list"].split(), ORDINALS.index(match["nth"])
    return items[-1 - place] if match["end"] else items[place]


def _to_words(match: re.Match[str]) -> str:
    return in_words(int(match["n"]))


def _to_digits(match: re.Match[str]) -> str:
    return str(number_of(match["words"]))


def _quotient(match: re.Match[str]) -> str:
    return str(int(match["a"]) // int(match["b"]))


def _remainder(match: re.Match[str]) -> str:
    return str(int(match["a"]) % int(match["b"]))


_WORD = f"(?:{'|'.join(sorted((*_WORD_VALUES, *_SCALES), key=len, reverse=True))})"
_FACTOR = rf"(?:\d+|{_WORD}(?:[ -]{_WORD})*)"
_WORDED = rf"(?P<words>{_WORD}(?:[ -]{_WORD})*)"
_SPECS: tuple[tuple[str, Reading], ...] = (
    (r"(?:What is )?\d+(?: \+ \d+)+(?:\?| =)|\d+ plus \d+\?", _sum),
    (r"(?:Add|Find the sum of) \d+(?:, \d+)* and \d+\.", _sum),
    (r"(?:What is )?(?P<a>\d+) (?:-|minus) (?P<b>\d+)(?:\?| =)", _difference),
    (r"(?:Subtract|Take) (?P<b>\d+) (?:away )?from (?P<a>\d+)\.", _difference),
    (rf"(?:Multiply|Find the product of) (?P<a>{_FACTOR}) (?:by|and) (?P<b>{_FACTOR})\.", _product),
    (rf"(?:What is |Which number is )?(?P<a>{_FACTOR}) (?:x|times) (?P<b>{_FACTOR})(?:\?| =| in digits\?)", _product),
    (r"(?:Double|What is twice) (?P<a>\d+)[.?]", lambda match: str(2 * int(match["a"]))),
    (r"Which is (?P<which>larger|more|smaller|less), (?P<a>\d+) or (?P<b>\d+)\?", _comparison),
    (r"Pick the (?P<which>larger|smaller) number: (?P<a>\d+) or (?P<b>\d+)\.", _comparison),
    (r"Is (?P<a>\d+) or (?P<b>\d+) the (?P<which>larger|smaller) number\?", _comparison),
    (
        r"(?i)(?:Which is |Find the )?(?P<second>second )?(?P<which>largest|smallest|maximum|minimum|max|min)"
        rf"(?:: | of ){_LIST}[?.]",
        _extreme,
    ),
    (
        rf"(?:Sort|Put|Order) {_LIST}"
        r"(?P<how> in ascending order| in order| from low to high| in descending order| from high to low)?\.",
        _sort,
    ),
    (r"(?:Replace|Change) (?P<a>\d) (?:with|to) (?P<b>\d) in (?P<list>\d(?: \d)*)\.", _replace),
    (r"Swap every (?P<a>\d) for (?P<b>\d): (?P<list>\d(?: \d)*)\.", _replace),
    (r"Reverse (?P<list>\d(?: \d)*) with (?P<b>\d) for (?P<a>\d)\.", _replace),
    (r"Reverse (?P<list>\d(?: \d)*), changing (?P<a>\d) to (?P<b>\d)\.", _replace),
    (rf"(?:Reverse the list|Reverse) {_ITEMS}\.", _reverse),
    (rf"(?:Write|Say) {_ITEMS} (?:backwards|in reverse)\.", _reverse),
    (rf"(?:How many|Count the) (?P<d>\d)s in {_LIST}[?.]", _count),
    (rf"How often does (?P<d>\d) occur in {_LIST}\?", _count),
    (rf"Count (?P<d>\d) in {_LIST}\.", _count),
    (rf"(?:Which day is|What day comes) (?P<n>\d+) days (?P<way>after|before) {_DATED}\?", _weekday),
    (rf"(?P<n>\d+) days (?P<way>after|before) {_DATED}\?", _weekday),
    (rf"Today is {_DATED}\. Which day is it (?P<way>in) (?P<n>\d+) days\?", _weekday),
    (rf"Today is {_DATED}\. Which day was it (?P<n>\d+) days (?P<way>ago)\?", _weekday),
    (rf"(?:What comes next:|Next number:|Continue the sequence|Which number follows) {_LIST}[?.]", _sequence),
    (
        rf"(?:What is the|Give the|Which is|The) (?P<nth>{_ORDINAL})(?: item)?(?P<end> to last)? (?:of|in) {_LIST}[?.]",
        _position,
    ),
    (rf"(?P<nth>{_ORDINAL})(?P<end> from the end): {_LIST}\?", _position),
    (r"(?:Write|What is|How do you say) (?P<n>\d+) in words[.?]", _to_words),
    (r"Spell out the number (?P<n>\d+)\.", _to_words),
    (rf"(?:Write|What is|Give) {_WORDED} (?:in digits|as a number)[.?]", _to_digits),
    (rf"Which number is {_WORDED}\?", _to_digits),
    (r"(?:What is )?(?P<a>\d+) (?:divided by|/) (?P<b>\d+)(?:\?| =)", _quotient),
    (r"Divide (?P<a>\d+) by (?P<b>\d+)\.", _quotient),
    (r"(?:What is|Find) the remainder of (?P<a>\d+) (?:divided by|/) (?P<b>\d+)[?.]", _remainder),
    (r"(?P<a>\d+) modulo (?P<b>\d+)\?", _remainder),
)
_READINGS = [(re.compile(spec), reading) for spec, reading in _SPECS]
