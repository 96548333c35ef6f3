"""What a failure is worth: is the same model asked once more, where, and after which pause.

Decides from the failure alone; knows nothing of upstreams, budgets or clocks.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from routing.retry import RetryBudget, RetryRules, pause_s
from serving.errors import UpstreamDisconnected, UpstreamFailed

_ACCOUNT = frozenset({401, 402, 403, 404, 407})
"""What another replica would answer as well."""
_PASSING = frozenset({408, 429, 500, 502, 503, 504, 520, 522, 524, 529})
"""What may be different a moment later."""


@dataclass(frozen=True, slots=True)
class Retrying:
    """What retries take. `chance` gives numbers in [0, 1); `sleep` takes seconds."""

    rules: RetryRules
    budget: RetryBudget
    chance: Callable[[], float]
    sleep: Callable[[float], Awaitable[None]]

    def pause_s(self, failure: UpstreamFailed) -> float:
        """The pause before the one retry at the place that failed."""
        return pause_s(self.rules, 0, self.chance, asked_s=failure.pause_s)

    def is_short(self, failure: UpstreamFailed) -> bool:
        """Did the upstream ask for a pause that a request can wait for?"""
        return failure.pause_s is not None and failure.pause_s <= self.rules.longest_pause_s

    def helps_here(self, failure: UpstreamFailed) -> bool:
        """May the same place answer a moment later?"""
        if failure.pause_s is not None and not self.is_short(failure):
            return False
        return failure.upstream_status in _PASSING or isinstance(failure, UpstreamDisconnected)


def helps_elsewhere(failure: UpstreamFailed) -> bool:
    """May another replica of the same model answer what this one did not?"""
    return failure.sent and failure.replica != "-" and failure.upstream_status not in _ACCOUNT
