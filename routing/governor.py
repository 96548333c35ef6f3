"""The escalation governor: an integral controller on the acceptance threshold, and caps beside it. docs/routing.md.

Holds an escalation rate, USD per hour or the large tier's queue. Pure: time and measurements are passed in. Invariant:
the threshold is never looser than the guaranteed one while a promise is in force; the governor raises an alarm instead.
"""

from dataclasses import dataclass
from math import exp, inf, log

import msgspec

from routing.rolling import RollingCount

_STEPS = 10
_LEAST = 1e-6
"""Thresholds are moved as log-odds; these are those of 1e-6 and 1 - 1e-6."""


@dataclass(frozen=True, slots=True)
class GovernorRules:
    """How the threshold follows what is measured."""

    gain: float = 0.2
    """Log-odds per request and unit of error."""
    loosest: float = 0.01
    """Least threshold, in (0, 1)."""
    strictest: float = 0.9999

    def __post_init__(self) -> None:
        if not _LEAST <= self.loosest <= self.strictest <= 1.0 - _LEAST:
            raise ValueError(f"thresholds {self.loosest} to {self.strictest} are no range within (0, 1)")
        if self.gain <= 0.0:
            raise ValueError(f"a gain of {self.gain} governs nothing")


class GovernorState(msgspec.Struct, frozen=True):
    """For metrics and `millrace status`."""

    threshold: float
    """A weak answer is accepted at a confidence ≥ this one."""
    alarm: bool
    """The target asks for a looser threshold than the guaranteed one."""


class Governor:
    """The acceptance threshold as it is now. Too much escalation loosens it, too little makes it stricter."""

    __slots__ = ("_guaranteed", "_held_back", "_odds", "_rules")

    def __init__(self, rules: GovernorRules, start: float, *, guaranteed: float | None = None) -> None:
        """`guaranteed`: the threshold of a promise in force; None while nothing is promised."""
        self._rules = rules
        self._guaranteed = guaranteed
        self._odds = _log_odds(min(max(start, rules.loosest), rules.strictest))
        self._held_back = False
        self._clamp()

    def promise(self, guaranteed: float | None) -> None:
        """A new promise is in force, or none any more. An infinite threshold accepts no weak answer at all."""
        self._guaranteed = guaranteed
        self._held_back = False
        self._clamp()

    def answered(self, *, escalated: bool, target: float) -> GovernorState:
        """Count one judged answer towards an escalation rate of `target`, in [0, 1].

        Every step is gain · (escalated - target), so the rate over n requests is off the target by at most what the
        threshold moved in between over gain · n: adaptive conformal inference (Gibbs and Candès, arXiv 2106.00170).
        """
        return self._move((1.0 if escalated else 0.0) - target)

    def measured(self, value: float, *, target: float) -> GovernorState:
        """A measurement of what escalation causes (USD per hour, waiting requests) against its target above 0."""
        return self._move(min(max(value / target - 1.0, -1.0), 1.0))

    @property
    def state(self) -> GovernorState:
        """As of the last step."""
        if self._guaranteed == inf:
            return GovernorState(inf, self._held_back)
        threshold = min(max(1.0 / (1.0 + exp(-self._odds)), self._rules.loosest), self._rules.strictest)
        floor = threshold if self._guaranteed is None else self._guaranteed
        return GovernorState(max(threshold, floor), self._held_back)

    def _move(self, error: float) -> GovernorState:
        self._odds -= self._rules.gain * error
        self._clamp()
        return self.state

    def _clamp(self) -> None:
        """Keep to the range, and to the promise: what is not used is not remembered (no wind-up)."""
        self._odds = min(max(self._odds, _log_odds(self._rules.loosest)), _log_odds(self._rules.strictest))
        if self._guaranteed is None:
            return
        floor = _log_odds(min(self._guaranteed, self._rules.strictest))
        if self._odds < floor:
            self._odds, self._held_back = floor, True
        elif self._odds > floor + self._rules.gain:
            self._held_back = False


def _log_odds(share: float) -> float:
    share = min(max(share, _LEAST), 1.0 - _LEAST)
    return log(share / (1.0 - share))


class Amplification:
    """Attempts per request over a rolling window, capped: no storm of escalations on top of an overload."""

    __slots__ = ("_attempts", "_cap", "_free", "_requests")

    def __init__(self, *, cap: float = 1.5, window_s: float = 60.0, free: int = 10) -> None:
        """`free`: requests that the window counts as seen, so that a quiet one lets a first escalation through."""
        if cap < 1.0 or free < 0:
            raise ValueError(f"a cap of {cap} attempts per request (at least 1) and {free} free requests (at least 0)")
        self._cap = cap
        self._free = free
        self._requests = RollingCount(steps=_STEPS, step_s=window_s / _STEPS)
        self._attempts = RollingCount(steps=_STEPS, step_s=window_s / _STEPS)

    def received(self, now: float) -> None:
        """A request and its first attempt, which is always let through."""
        self._requests.add(now)
        self._attempts.add(now)

    def escalate(self, now: float) -> bool:
        """Leave for one more attempt; counted when given."""
        room = self._cap * self._requests.total(now) + (self._cap - 1.0) * self._free
        if self._attempts.total(now) + 1 > room:
            return False
        self._attempts.add(now)
        return True

    def ratio(self, now: float) -> float:
        """Attempts per request; 1 when there were none."""
        requests = self._requests.total(now)
        return self._attempts.total(now) / requests if requests else 1.0


class HedgeBudget:
    """Two token buckets that a hedge draws from at once: a share of all requests, and USD per hour."""

    __slots__ = ("_burst", "_share", "_then", "_tokens", "_usd", "_usd_per_h")

    def __init__(self, now: float, *, share: float = 0.05, burst: float = 5.0, usd_per_h: float = inf) -> None:
        """`burst`: hedges in a row at most. The money bucket holds what an hour allows, and both start full."""
        if not 0.0 <= share <= 1.0 or burst < 0.0 or usd_per_h < 0.0:
            raise ValueError(f"share {share} must lie in [0, 1]; burst {burst} and USD/h {usd_per_h} not below 0")
        self._share = share
        self._burst = burst
        self._usd_per_h = usd_per_h
        self._tokens = burst
        self._usd = usd_per_h
        self._then = now

    def received(self) -> None:
        """One more request earns its share of a hedge."""
        self._tokens = min(self._burst, self._tokens + self._share)

    def take(self, now: float, cost_usd: float) -> bool:
        """Pay for one hedge of at most `cost_usd`; False, and nothing is paid, when either bucket cannot."""
        self._usd = min(self._usd_per_h, self._usd + self._usd_per_h * max(0.0, now - self._then) / 3600.0)
        self._then = max(now, self._then)
        if self._tokens < 1.0 or self._usd < cost_usd:
            return False
        self._tokens -= 1.0
        self._usd -= cost_usd
        return True
