"""λ, the price of money in score per USD, steered so that a spend keeps to its budget.

A PI controller on log λ (docs/routing.md): spending too much raises λ, and dearer tiers have to be worth more. Pure:
what was spent and what was allowed is passed in. Invariant: λ stays on the grid its policy was fitted for, and moves by
at most a factor e^0.5 per step.
"""

from dataclasses import dataclass
from math import exp, inf, log


@dataclass(frozen=True, slots=True)
class SteeringRules:
    """How λ follows the error e: log λ ← log λ + k_p·Δe + k_i·e."""

    least: float
    """Of the fitted grid's values above 0, score per USD."""
    most: float
    k_p: float = 20.0
    k_i: float = 1.0
    longest_step: float = 0.5
    """Most that log λ moves at once."""

    def __post_init__(self) -> None:
        if not 0.0 < self.least <= self.most < inf:
            raise ValueError(f"λ needs 0 < least ≤ most, not {self.least} and {self.most}")
        if self.k_p < 0.0 or self.k_i < 0.0 or self.longest_step <= 0.0:
            raise ValueError("gains must not be negative, and the longest step must be above 0")


class Steering:
    """λ as it is now. `start` is clamped to the grid."""

    __slots__ = ("_error", "_log", "_rules")

    def __init__(self, rules: SteeringRules, start: float) -> None:
        self._rules = rules
        self._log = log(min(max(start, rules.least), rules.most))
        self._error = 0.0

    @property
    def value(self) -> float:
        """Score per USD."""
        return min(max(exp(self._log), self._rules.least), self._rules.most)

    def step(self, error: float) -> float:
        """λ after a look at the spend: `error` = spent / allowed - 1 over the window."""
        rules = self._rules
        move = rules.k_p * (error - self._error) + rules.k_i * error
        move = min(max(move, -rules.longest_step), rules.longest_step)
        self._log = min(max(self._log + move, log(rules.least)), log(rules.most))
        self._error = error
        return self.value


class SpendBalance:
    """What was spent beyond what was allowed, relative to what a window of `requests` requests is allowed.

    Over- and underspending are carried over, at most one window's worth of them, so that what is held is the whole
    spend and not each window's by itself: a window that forgets leaves what a bad start cost unpaid.
    """

    __slots__ = ("_allowed", "_balance", "_block", "_count", "_windows")

    def __init__(self, *, requests: int = 1000, block: int = 10) -> None:
        if not 0 < block <= requests:
            raise ValueError(f"a window of {requests} requests cannot have blocks of {block}")
        self._block = block
        self._windows = requests / block
        self._balance = 0.0
        self._allowed = 0.0
        self._count = 0

    def add(self, spent_usd: float, allowed_usd: float) -> float | None:
        """Count one request. At the end of a block the error for `Steering.step`, else None.

        A request may be allowed nothing, but what a whole block is allowed must be above 0, or there is no error.
        """
        self._balance += spent_usd - allowed_usd
        self._allowed += allowed_usd
        self._count += 1
        if self._count < self._block:
            return None
        window = self._allowed * self._windows
        self._allowed, self._count = 0.0, 0
        if window <= 0.0:
            return None
        self._balance = min(max(self._balance, -window), window)
        return self._balance / window
