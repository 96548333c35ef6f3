"""The working of an answer: its numbers, its equations, and the final value they lead to, against the prompt's numbers.

Whether sums hold, whether numbers come from somewhere, whether results are used, whether the end follows. Text in,
named numbers out; says nothing of what they mean for being right.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from math import copysign, log, log1p

from routing.equations import MOST, Equation, Equations, equations

_NUMBER = re.compile(r"\d+(?:,\d{3})*(?:\.\d+)?|\.\d+")
_MARK = re.compile(r"<<[^<>]*>>")
_WORD = re.compile(r"[a-z]+")
_FINAL = re.compile(
    r"(?:^|\n)\s*####\s*|\\boxed\s*\{|\b(?:final )?answer\s*(?:is|:)\**\s*"
    r"|\b(?:therefore|thus|hence|in total|altogether)\b",
    re.IGNORECASE,
)
_TAIL_CHARS = 300
"""Of an answer, in which a mark of its end is looked for."""
_NAMED = {
    **{"one": 1.0, "two": 2.0, "three": 3.0, "four": 4.0, "five": 5.0, "six": 6.0, "seven": 7.0, "eight": 8.0},
    **{"nine": 9.0, "ten": 10.0, "eleven": 11.0, "twelve": 12.0, "twenty": 20.0, "thirty": 30.0, "fifty": 50.0},
    **{"hundred": 100.0, "thousand": 1000.0, "dozen": 12.0, "half": 0.5, "third": 1 / 3, "thirds": 1 / 3},
    **{"quarter": 0.25, "quarters": 0.25, "fourth": 0.25, "fifth": 0.2, "twice": 2.0, "double": 2.0, "thrice": 3.0},
    **{"triple": 3.0, "both": 2.0, "pair": 2.0, "couple": 2.0, "week": 7.0, "weeks": 7.0, "year": 12.0, "day": 24.0},
}
"""Numbers that prompts say in words."""
_USUAL = frozenset({0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 7.0, 10.0, 12.0, 24.0, 30.0, 52.0, 60.0, 100.0, 365.0, 1000.0, 0.5})
"""Numbers that anyone may bring in."""

NAMES = (
    *("prompt_numbers", "prompt_named_numbers", "prompt_percents", "prompt_fractional", "prompt_largest"),
    *("answer_numbers", "novel_numbers", "unused_numbers", "unused_share", "unused_named", "most_reused"),
    *("equations", "unread_equals", "wrong_equations", "rounded_equations", "wrong_share", "wrong_last"),
    *("negative_results", "fractional_results", "steps", "steps_per_number", "dangling_results"),
    *("operands", "unknown_operands", "unusual_operands", "additions", "subtractions", "products", "quotients"),
    *("percents", "longest_sum", "final_marked", "final_stated", "final_words", "final_numbers", "final_size"),
    *("final_integral", "final_zero", "final_over_largest", "final_zeros", "final_in_prompt", "final_is_last_result"),
    *("final_is_result", "final_mentions"),
)
"""What `workings` gives, in order. Counts are plain, sizes logarithmic, shares in [0, 1], the others 0 or 1."""


def numbers_of(text: str) -> list[float]:
    """Every number in `text`, thousands separators read; what is beyond `MOST` is `MOST`."""
    return [min(MOST, float(token.replace(",", ""))) for token in _NUMBER.findall(text)]


def workings(prompt: str, answer: str, *, complete: bool = True) -> tuple[float, ...]:
    """One value per name in `NAMES`. The caller bounds the lengths."""
    read = equations(answer, complete=complete)
    found = read.found
    plain = _MARK.sub("", answer)
    given = numbers_of(prompt)
    named = [_NAMED[word] for word in _WORD.findall(prompt.lower()) if word in _NAMED]
    known = _known(set(given), named)
    stated = numbers_of(plain)
    results = list(dict.fromkeys(_key(each.right) for each in found))
    return (
        *_of_prompt(prompt, given, named),
        *_of_numbers(given, named, known, stated, found, set(results)),
        *_of_equations(read, results, known, len(given) + len(named)),
        *_of_final(plain, stated, [_key(each.right) for each in found], given),
    )


def _key(value: float) -> float:
    """Numbers with the same key are the same."""
    return round(value, 2)


def _keys(values: Iterable[float]) -> set[float]:
    return {round(value, 2) for value in values}


def _fractional(values: Iterable[float]) -> int:
    return sum(abs(value - round(value)) > 1e-6 for value in values)


def _of_prompt(prompt: str, given: Sequence[float], named: Sequence[float]) -> tuple[float, ...]:
    percents = prompt.count("%") + prompt.count("percent")
    return len(given), len(named), percents, _fractional(given), log1p(max(given, default=0.0))


def _known(given: Iterable[float], named: Sequence[float]) -> set[float]:
    """What follows from the prompt without working: its numbers, and what percents of them stand for."""
    shares = [value / 100 for value in given if value <= 100]
    derived = [each for share in shares for each in (share, 1 + share, 1 - share, 100 * (1 - share), 100 * (1 + share))]
    return _keys((*given, *named, *derived))


def _of_numbers(
    given: Sequence[float],
    named: Sequence[float],
    known: set[float],
    stated: Sequence[float],
    found: Sequence[Equation],
    results: set[float],
) -> tuple[float, ...]:
    operands = Counter(_key(value) for each in found for value in each.operands)
    stated_keys = _keys(stated)
    said = stated_keys | operands.keys()
    novel = len(stated_keys - known - results)
    asked = _keys(given)
    unused = sum(value not in said and _key(value / 100) not in said for value in asked)
    unspoken = sum(_key(value) not in said and _key(1 / value) not in said for value in set(named))
    reused = max((operands[value] for value in asked), default=0)
    return len(stated), novel, unused, unused / (1 + len(asked)), unspoken, reused


def _of_equations(read: Equations, results: Sequence[float], known: set[float], given: int) -> tuple[float, ...]:
    found = read.found
    errors = [each for each in found if each.error() > 0]
    wrong, rounded = len(errors), sum(each.rounded() for each in errors)
    known, used = set(known), _keys(value for each in found for value in each.operands)
    operands = unknown = unusual = longest = 0
    for each in found:
        operands += len(each.operands)
        longest = max(longest, len(each.operands))
        strangers = [value for value in each.operands if _key(value) not in known]
        unknown += len(strangers)
        unusual += sum(value not in _USUAL for value in strangers)
        known.add(_key(each.right))
    operators = "".join(each.operators for each in found)
    return (
        *(len(found), read.unread, wrong - rounded, rounded, wrong / max(1, len(found))),
        *(float(bool(found) and errors[-1:] == [found[-1]]), sum(value < 0 for value in results), _fractional(results)),
        *(len(results), len(results) / (1 + given), sum(value not in used for value in results[:-1])),
        *(operands, unknown, unusual, *(operators.count(each) for each in "+-*/%"), longest),
    )


def _of_final(
    plain: str, stated: Sequence[float], results: Sequence[float], given: Sequence[float]
) -> tuple[float, ...]:
    """What the answer ends in: what follows its last mark of an end, or else its last line."""
    tail = plain[-_TAIL_CHARS:]
    marks = list(_FINAL.finditer(tail))
    end = tail[marks[-1].end() :] if marks else plain.rstrip().rpartition("\n")[2]
    values = numbers_of(end) or list(stated[-1:])
    value = values[-1] if values else 0.0
    digits = str(int(value))
    largest = max(given, default=0.0)
    key = _key(value)
    return (
        *(float(bool(marks)), float(bool(values)), len(_WORD.findall(end.lower())), len(values)),
        *(copysign(log1p(value), value), float(not _fractional([value])), float(value == 0)),
        *(log((value + 0.1) / (largest + 0.1)), len(digits) - len(digits.rstrip("0")), float(key in _keys(given))),
        *(float(results[-1:] == [key]), float(key in results), sum(_key(each) == key for each in stated)),
    )
