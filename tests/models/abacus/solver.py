"""Answers a prompt from its text alone, sharing no code with the generators: the second opinion of the tests."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable

DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
SMALL = [
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"),
    *("thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
]
TENS = {"twenty": 20, "thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "seventy": 70, "eighty": 80, "ninety": 90}
NTH = ["first", "second", "third", "fourth", "fifth", "sixth"]


def numbers(text: str) -> list[int]:
    return [int(n) for n in re.findall(r"\d+", text)]


def value_of(words: str) -> int:
    total = 0
    for word in re.split(r"[ -]", words):
        scale = {"hundred": 100, "thousand": 1000}.get(word)
        if scale:
            rest = total % scale if scale == 100 else total
            total += rest * (scale - 1)
        else:
            total += TENS[word] if word in TENS else SMALL.index(word)
    return total


def words_of(n: int) -> str:
    return next(text for text in _spellings(n) if value_of(text) == n)


def _spellings(n: int) -> list[str]:
    thousands, hundreds, rest = n // 1000, n // 100 % 10, n % 100
    tens = [word for word, v in TENS.items() if v == rest // 10 * 10]
    parts = [f"{SMALL[thousands]} thousand"] * bool(thousands) + [f"{SMALL[hundreds]} hundred"] * bool(hundreds)
    if rest and rest < 20:
        parts.append(SMALL[rest])
    elif rest:
        parts.append("-".join(tens + [SMALL[rest % 10]] * bool(rest % 10)))
    return [" ".join(parts)]


def _sum(prompt: str) -> str:
    return str(sum(numbers(prompt)))


def _difference(prompt: str) -> str:
    a, b = numbers(prompt)
    return str(abs(a - b))


def _product(prompt: str) -> str:
    found = numbers(prompt)
    return str(found[0] * (found[1] if len(found) > 1 else 2))


def _comparison(prompt: str) -> str:
    pick = max if re.search(r"larger|more", prompt) else min
    return str(pick(numbers(prompt)))


def _extreme(prompt: str) -> str:
    rank = 2 if "econd" in prompt else 1
    largest = re.search(r"[Ll]argest|[Mm]ax", prompt)
    ordered = sorted(numbers(prompt), reverse=bool(largest))
    return str(ordered[rank - 1])


def _sort(prompt: str) -> str:
    down = "descending" in prompt or "high to low" in prompt
    return " ".join(map(str, sorted(numbers(prompt), reverse=down)))


def _reverse(prompt: str) -> str:
    listed = re.sub(r"^Reverse the list |^Reverse |^Write |^Say | backwards\.$| in reverse\.$|\.$", "", prompt)
    return " ".join(listed.split()[::-1])


def _count(prompt: str) -> str:
    wanted, *items = numbers(prompt)
    return str(items.count(wanted))


def _weekday(prompt: str) -> str:
    days = int(re.findall(r"(\d+) days", prompt)[0])
    start = next(i for i, day in enumerate(DAYS) if day in prompt)
    back = "before" in prompt or "ago" in prompt
    return DAYS[(start - days if back else start + days) % 7]


def _words(prompt: str) -> str:
    spelled = re.findall(r"\b(?:[a-z]+ (?:thousand|hundred)|" + "|".join([*TENS, *SMALL]) + r")\b[a-z -]*", prompt)
    if numbers(prompt):
        return words_of(numbers(prompt)[0])
    text = re.sub(r" in digits| as a number|[.?]", "", prompt)
    text = re.sub(r"^(Write|Which number is|What is|Give|Multiply) ", "", text)
    factors = re.split(r" times | by ", text)
    assert spelled
    value = 1
    for factor in factors:
        value *= value_of(factor)
    return str(value)


def _sequence(prompt: str) -> str:
    terms = numbers(prompt)
    steps = [b - a for a, b in itertools.pairwise(terms)]
    growth = steps[-1] - steps[-2]
    return str(terms[-1] + steps[-1] + growth)


def _position(prompt: str) -> str:
    items = numbers(prompt)
    place = next(i for i, word in enumerate(NTH) if word in prompt)
    return str(items[-1 - place] if "last" in prompt or "from the end" in prompt else items[place])


def _replace(prompt: str) -> str:
    first, *rest = numbers(prompt)
    if prompt.startswith("Reverse"):
        *items, a, b = [first, *rest]
        old, new = (b, a) if " with " in prompt else (a, b)
        items.reverse()
    else:
        old, (new, *items) = first, rest
    return " ".join(str(new if item == old else item) for item in items)


def _division(prompt: str) -> str:
    a, b = numbers(prompt)
    return str(a % b if "remainder" in prompt or "modulo" in prompt else a // b)


SOLVERS: dict[str, Callable[[str], str]] = {
    "sum": _sum,
    "difference": _difference,
    "product": _product,
    "comparison": _comparison,
    "extreme": _extreme,
    "sort": _sort,
    "reverse": _reverse,
    "count": _count,
    "weekday": _weekday,
    "words": _words,
    "sequence": _sequence,
    "position": _position,
    "replace": _replace,
    "division": _division,
}


def solve(family: str, prompt: str) -> str:
    """The answer, from the prompt's text."""
    return SOLVERS[family](prompt)
