"""May a failed request be tried again, and after which pause.

Pure: time and chance are passed in. The invariant is the load that retries add: in every rolling minute they are at
most a share of the requests of that minute, or a small floor where there is hardly any traffic, so an upstream that
fails is never hit with much more than what clients send.
"""

from collections.abc import Callable
from dataclasses import dataclass

from routing.rolling import RollingCount

WINDOW_STEPS = 60
"""Steps of one second: the budget is one of a rolling minute."""


@dataclass(frozen=True, slots=True)
class RetryRules:
    """`ratio`: retries per request; `floor`: retries a minute that are always allowed, so that a first one can be."""

    ratio: float = 0.2
    floor: int = 10
    first_pause_s: float = 0.25
    """The longest pause before a first retry at the same place, seconds; it doubles with every further one."""
    longest_pause_s: float = 2.0
    """No pause is longer, and no upstream that asks for a longer one is waited for, seconds."""


class RetryBudget:
    """Retries ≤ max(floor, ratio of the requests) in every minute that ends with a retry.

    A retry is an attempt beyond a request's first one that reached an upstream; one that never connected is given
    back. Requests of a step that is only partly inside the minute are left out and retries of it counted, so that
    counting in steps errs to the safe side.
    """

    __slots__ = ("_requests", "_retries", "_rules")

    def __init__(self, rules: RetryRules) -> None:
        self._rules = rules
        self._requests = RollingCount(steps=WINDOW_STEPS, step_s=1.0)
        self._retries = RollingCount(steps=WINDOW_STEPS + 1, step_s=1.0)

    def requested(self, now: float) -> None:
        """A client's request has come."""
        self._requests.add(now)

    def take(self, now: float) -> bool:
        """Spend one retry; False, and nothing spent, when the budget is used up."""
        allowed = max(float(self._rules.floor), self._rules.ratio * self._requests.total(now))
        if self._retries.total(now) + 1 > allowed:
            return False
        self._retries.add(now)
        return True

    def give_back(self, taken_s: float) -> None:
        """The retry taken at `taken_s` reached nobody."""
        self._retries.take_back(taken_s)


def pause_s(rules: RetryRules, retries: int, chance: Callable[[], float], *, asked_s: float | None = None) -> float:
    """How long to wait before the next try at the same place: full jitter over a doubling, capped range.

    `retries`: how many there were before; `chance` gives numbers in [0, 1). `asked_s`: the pause the upstream asked
    for; it is kept in full, and what chance adds spreads those who were told the same. (Backoff with full jitter: AWS
    Architecture Blog, "Exponential Backoff And Jitter", 2015.)
    """
    spread_s = chance() * min(rules.longest_pause_s, rules.first_pause_s * 2.0 ** min(retries, 30))
    return spread_s if asked_s is None else asked_s + spread_s
