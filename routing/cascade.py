"""The cascade: which model to try next, given what the last one gave back.

A generator that yields `Attempt`s and is sent `Evidence`; it ends when an answer is accepted or nothing is left to
try. It does no I/O and knows no clock, so it is tested with lists. Availability fallback ("the tier is down") and
quality escalation ("the answer is not good enough") are different reasons with different counters.
"""

from collections.abc import Generator, Sequence
from enum import StrEnum
from typing import Protocol, TypeAlias

import msgspec
from msgspec.structs import replace


class Reason(StrEnum):
    """Why an attempt is made."""

    DIRECT = "direct"
    """The client named the model."""
    SCORE = "score"
    """The score of the prompt chose this tier to start at."""
    ESCALATION = "escalation"
    """The answer of a lower tier was judged not good enough."""
    FALLBACK = "fallback"
    """The tier before it could not answer."""
    RETRY = "retry"
    """The same model once more, at another replica or after a pause."""


class Verdict(StrEnum):
    """What came of an attempt."""

    FAILED = "failed"
    """No usable answer: refused, timed out, died, or answered 429/5xx before the first content byte."""
    ANSWERED = "answered"
    """An answer, or the first tokens of one, is here to be judged."""


class Attempt(msgspec.Struct, frozen=True):
    """One try: the model to ask and why."""

    model: str
    tier: str
    reason: Reason


class Evidence(msgspec.Struct, frozen=True):
    """What dispatch saw of an attempt. `status`: the upstream's HTTP status, 0 when there was none."""

    verdict: Verdict
    status: int = 0
    text: str = ""
    logprobs: Sequence[float] = ()


class Judge(Protocol):
    """Decides from an answer, or its first tokens, whether it is good enough to be delivered."""

    def accepts(self, attempt: Attempt, evidence: Evidence) -> bool:
        """True to deliver it; False to drop it and try the next tier."""
        ...


class AcceptAll:
    """Every answer is good enough: escalation on failure only."""

    def accepts(self, attempt: Attempt, evidence: Evidence) -> bool:
        """See `Judge.accepts`."""
        return True


Cascade: TypeAlias = Generator[Attempt, Evidence, None]


def cascade(attempts: Sequence[Attempt], judge: Judge | None = None) -> Cascade:
    """Try `attempts` in order until an answer is accepted; without a `judge`, the first one.

    Sent one `Evidence` per yielded `Attempt`; returns (StopIteration) on acceptance or when the list is used up. An
    attempt made because the answer before it was rejected is yielded with reason `ESCALATION`. The last answer is
    delivered unjudged, since there is nothing left to put in its place.
    """
    judge = judge or AcceptAll()
    rejected = False
    for place, planned in enumerate(attempts, start=1):
        attempt = replace(planned, reason=Reason.ESCALATION) if rejected else planned
        evidence = yield attempt
        if evidence.verdict is Verdict.ANSWERED:
            if place == len(attempts) or judge.accepts(attempt, evidence):
                return
            rejected = True
        else:
            rejected = False
