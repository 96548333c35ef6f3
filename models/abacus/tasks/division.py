"""Division of whole numbers: quotient and remainder, beyond both models, so only in the expert band."""

from __future__ import annotations

import random

from models.abacus.problem import Band, Family, Question

QUOTIENT = ("What is {a} divided by {b}?", "{a} / {b} =", "Divide {a} by {b}.")
REMAINDER = ("What is the remainder of {a} / {b}?", "Find the remainder of {a} divided by {b}.", "{a} modulo {b}?")


def _expert(rng: random.Random) -> Question:
    divisor = rng.randint(12, 99)
    if rng.random() < 0.5:
        quotient = rng.randint(12, 999)
        dividend = divisor * quotient
        return Question(f"{dividend}/{divisor}", str(quotient), QUOTIENT, {"a": dividend, "b": divisor})
    dividend = rng.randint(1000, 9999)
    return Question(f"{dividend}%{divisor}", str(dividend % divisor), REMAINDER, {"a": dividend, "b": divisor})


FAMILY = Family("division", {Band.EXPERT: _expert})
