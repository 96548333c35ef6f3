"""A circuit breaker: an upstream that keeps failing is left alone for a while, then asked once.

Pure: time and chance are passed in. Closed → open when too large a share of the calls in a rolling window failed, or
so many in a row; open → half-open after a pause that doubles, with jitter, from one opening to the next; half-open
lets exactly one call through, whose result closes it or opens it again. Results of calls that began before the last
change of state are not believed.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, IntEnum

import msgspec

from routing.rolling import RollingCount

_STEPS = 10


class State(IntEnum):
    """The value is what the metric shows."""

    CLOSED = 0
    HALF_OPEN = 1
    OPEN = 2


class Result(Enum):
    """What came of a call."""

    GOOD = "good"
    FAILED = "failed"
    ABANDONED = "abandoned"
    """Nothing was learnt: it was never sent, or given up because the client left."""


@dataclass(frozen=True, slots=True)
class BreakerRules:
    """When a breaker opens and for how long. Times in seconds."""

    window_s: float = 30.0
    failure_share: float = 0.5
    """Share of the window's calls, in (0, 1], that must have failed."""
    min_calls: int = 10
    """Calls the window must hold for the share to count."""
    consecutive: int = 5
    """Failures in a row that open it whatever the share is."""
    open_s: float = 5.0
    """The first pause; it doubles each time the call that ends it fails."""
    longest_open_s: float = 60.0


class Pass(msgspec.Struct, frozen=True):
    """Leave to make one call. `probe`: it is the one call of a half-open breaker."""

    era: int
    probe: bool


class Breaker:
    """One upstream's breaker. `chance` gives numbers in [0, 1)."""

    __slots__ = ("_calls", "_chance", "_closed", "_era", "_failures", "_in_a_row", "_openings", "_probing", "_rules",
                 "_until")  # fmt: skip

    def __init__(self, rules: BreakerRules, chance: Callable[[], float]) -> None:
        self._rules = rules
        self._chance = chance
        step_s = rules.window_s / _STEPS
        self._calls = RollingCount(steps=_STEPS, step_s=step_s)
        self._failures = RollingCount(steps=_STEPS, step_s=step_s)
        self._in_a_row = 0
        self._openings = 0
        self._era = 0
        self._closed = True
        self._probing = False
        self._until = 0.0

    def state(self, now: float) -> State:
        """As of `now`, monotonic seconds."""
        if self._closed:
            return State.CLOSED
        return State.OPEN if now < self._until else State.HALF_OPEN

    def enter(self, now: float) -> Pass | None:
        """Leave to make a call, to be returned to `leave` exactly once; None: make none."""
        if self._closed:
            return Pass(self._era, probe=False)
        if now < self._until or self._probing:
            return None
        self._probing = True
        return Pass(self._era, probe=True)

    def closed_for_s(self, now: float) -> float:
        """How long no call will be let through, seconds; 0 when that hangs on a call under way."""
        return 0.0 if self._closed else max(0.0, self._until - now)

    def leave(self, leave: Pass, result: Result, now: float) -> None:
        """What came of a call."""
        if leave.era != self._era:
            return
        if leave.probe:
            self._probing = False
        if result is Result.FAILED:
            self._failed(leave, now)
        elif result is Result.GOOD:
            self._good(leave, now)

    def _good(self, leave: Pass, now: float) -> None:
        self._in_a_row = 0
        if leave.probe:
            self._change(closed=True)
            self._openings = 0
        self._calls.add(now)

    def _failed(self, leave: Pass, now: float) -> None:
        self._calls.add(now)
        self._failures.add(now)
        self._in_a_row += 1
        if leave.probe or self._is_too_much(now):
            self._open(now)

    def _is_too_much(self, now: float) -> bool:
        if self._in_a_row >= self._rules.consecutive:
            return True
        calls = self._calls.total(now)
        return calls >= self._rules.min_calls and self._failures.total(now) >= self._rules.failure_share * calls

    def _open(self, now: float) -> None:
        longest = min(self._rules.longest_open_s, self._rules.open_s * 2.0 ** min(self._openings, 30))
        self._until = now + longest * (0.5 + 0.5 * self._chance())
        self._openings += 1
        self._change(closed=False)

    def _change(self, *, closed: bool) -> None:
        self._closed = closed
        self._era += 1
        self._in_a_row = 0
        self._calls.clear()
        self._failures.clear()
