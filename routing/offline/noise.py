"""The same prompt worded or set differently: white space, letter case, paraphrase. A router should not care.

Seeded; text in, text out. Paraphrases are by rule, from lists that no router's features were made from: everyday words
and phrases that mean the same in a question. They are milder than a person's rewording.
"""

import re
from collections.abc import Callable, Mapping
from random import Random

Noise = Callable[[str, Random], str]

_SPACES = ("  ", "   ", "\t", " ", " ", " ", " ")
_WORDING = {
    "which of the following": "which one of these",
    "of the following": "of these",
    "is known as": "is called",
    "is called": "is known as",
    "refers to": "means",
    "most likely": "most probably",
    "what is": "what's",
    "how many": "what number of",
    "how much": "what amount of",
    "in order to": "to",
    "because": "since",
    "however": "but",
    "for example": "for instance",
    "about": "roughly",
    "statement": "claim",
    "correct": "right",
    "incorrect": "wrong",
    "true": "right",
    "false": "wrong",
    "example": "instance",
    "best describes": "describes best",
    "person": "individual",
    "people": "persons",
    "must": "has to",
    "also": "too",
    "buys": "purchases",
    "gets": "receives",
    "gives": "hands",
    "each": "every",
    "big": "large",
    "small": "little",
    "begin": "start",
    "use": "employ",
    "show": "demonstrate",
    "help": "assist",
    "answer": "reply to",
    "question": "query",
}
_PHRASES = re.compile(rf"\b(?:{'|'.join(map(re.escape, sorted(_WORDING, key=len, reverse=True)))})\b", re.IGNORECASE)
_OPENINGS = ("I have a question. ", "Here is a question for you: ", "A quick one: ", "", "")
_CLOSINGS = (" Thanks in advance.", "\n\nWhat do you think?", " I need this today.", "", "")


def white_space(text: str, random: Random) -> str:
    """Single blanks between words become several or tabs here and there; blank lines around the text."""
    spaced = re.sub(r"(?<=\S) (?=\S)", lambda _: random.choice(_SPACES), text)
    return random.choice(("", "\n", "  ", "\n\n")) + spaced + random.choice(("", "\n", " ", "\n\n\n"))


def letter_case(text: str, random: Random) -> str:
    """All lower, all upper, every word capitalised, or one letter in ten the other way round."""
    way = random.randrange(4)
    if way < 3:
        return (text.lower, text.upper, text.title)[way]()
    return "".join(letter.swapcase() if random.random() < 0.1 else letter for letter in text)


def paraphrase(text: str, random: Random) -> str:
    """Four of five known phrases replaced, and often a sentence before or after."""

    def replaced(found: re.Match[str]) -> str:
        phrase = found.group()
        other = _WORDING[phrase.lower()] if random.random() < 0.8 else phrase
        return other[:1].upper() + other[1:] if phrase[:1].isupper() else other

    return random.choice(_OPENINGS) + _PHRASES.sub(replaced, text) + random.choice(_CLOSINGS)


NOISES: Mapping[str, Noise] = {"white space": white_space, "letter case": letter_case, "paraphrase": paraphrase}


def noisy(prompts: list[str], noise: Noise, *, seed: int = 0) -> list[str]:
    """Every prompt under `noise`, each with chance of its own."""
    return [noise(prompt, Random(f"{seed} {number}")) for number, prompt in enumerate(prompts)]
