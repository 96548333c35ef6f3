"""Do two tiers' answers say the same? What is known once both have run, and needs no label.

Pure and bounded: long answers are compared by their heads. Letter case, punctuation and articles do not count.
"""

import re

HEAD_CHARS = 2048
_WORD = re.compile(r"[^\W_]+")
_ARTICLES = frozenset(("a", "an", "the"))


def words_of(answer: str) -> list[str]:
    """In lower case, without articles, unless there is nothing else: a chosen letter may be an "A"."""
    words = _WORD.findall(answer[:HEAD_CHARS].lower())
    return [word for word in words if word not in _ARTICLES] or words


def agreement(one: str, other: str) -> tuple[float, float]:
    """Overlap of the two answers' words (Dice's coefficient), in [0, 1], and 1.0 if they are the same in order."""
    first, second = words_of(one), words_of(other)
    if first == second:
        return 1.0, 1.0
    left, right = set(first), set(second)
    return 2 * len(left & right) / (len(left) + len(right)), 0.0
