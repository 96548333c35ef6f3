"""How often something happened in the last so many seconds, in steps of equal length.

Time is passed in and must not go backwards. Memory is one number per step, however much happens.
"""

from collections import deque


class RollingCount:
    """A count over the last `steps` steps of `step_s` seconds, the one that is not over yet included."""

    __slots__ = ("_counts", "_step_s", "_steps", "_total")

    def __init__(self, *, steps: int, step_s: float) -> None:
        self._steps = steps
        self._step_s = step_s
        self._counts: deque[list[int]] = deque()
        self._total = 0

    def add(self, now: float, amount: int = 1) -> None:
        """Count `amount` at `now`, seconds."""
        step = self._forget(now)
        if not self._counts or self._counts[-1][0] < step:
            self._counts.append([step, 0])
        self._counts[-1][1] += amount
        self._total += amount

    def take_back(self, then: float) -> None:
        """Undo one that was counted at `then`; nothing when that is forgotten already."""
        step = int(then // self._step_s)
        for count in self._counts:
            if count[0] == step and count[1] > 0:
                count[1] -= 1
                self._total -= 1

    def total(self, now: float) -> int:
        """The count as of `now`."""
        self._forget(now)
        return self._total

    def clear(self) -> None:
        """Forget everything."""
        self._counts.clear()
        self._total = 0

    def _forget(self, now: float) -> int:
        step = int(now // self._step_s)
        oldest = step - self._steps
        while self._counts and self._counts[0][0] <= oldest:
            self._total -= self._counts.popleft()[1]
        return step
