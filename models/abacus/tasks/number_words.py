"""Numbers to words and back, by the number of digits; in the expert band, arithmetic on numbers in words."""

from __future__ import annotations

import random

from models.abacus.problem import Band, Family, Question

ONES = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"),
    *("thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
)
TENS = ("", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
TO_WORDS = ("Write {n} in words.", "Spell out the number {n}.", "What is {n} in words?", "How do you say {n} in words?")
TO_DIGITS = (
    "Write {words} in digits.",
    "Which number is {words}?",
    "What is {words} in digits?",
    "Give {words} as a number.",
)
PRODUCTS = ("What is {a} times {b} in digits?", "Multiply {a} by {b}.", "Which number is {a} times {b}?")


def in_words(n: int) -> str:
    """`n` in English words, 0 to 9999, without "and"."""
    if n < 20:
        return ONES[n]
    if n < 100:
        return TENS[n // 10] + (f"-{ONES[n % 10]}" if n % 10 else "")
    unit, name = (1000, "thousand") if n >= 1000 else (100, "hundred")
    head = f"{ONES[n // unit]} {name}"
    return f"{head} {in_words(n % unit)}" if n % unit else head


def _convert(rng: random.Random, n: int) -> Question:
    if rng.random() < 0.5:
        return Question(f"words of {n}", in_words(n), TO_WORDS, {"n": n})
    return Question(f"digits of {n}", str(n), TO_DIGITS, {"words": in_words(n)})


def _easy(rng: random.Random) -> Question:
    return _convert(rng, rng.randint(21, 99))


def _medium(rng: random.Random) -> Question:
    return _convert(rng, rng.randint(100, 999))


def _hard(rng: random.Random) -> Question:
    return _convert(rng, rng.randint(1000, 9999))


def _expert(rng: random.Random) -> Question:
    a, b = rng.randint(21, 99), rng.randint(21, 99)
    low, high = sorted((a, b))
    return Question(f"{low}x{high}", str(a * b), PRODUCTS, {"a": in_words(a), "b": in_words(b)})


FAMILY = Family("words", {Band.EASY: _easy, Band.MEDIUM: _medium, Band.HARD: _hard, Band.EXPERT: _expert})
