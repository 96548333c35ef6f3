"""A time limit for what the running task awaits: `asyncio.timeout`, cheaper, for the limits that every request has.

Same contract: the task is cancelled where it waits, and the block it had too long for ends with `TimeoutError`. A
cancellation that comes from elsewhere passes through.
"""

import asyncio
from types import TracebackType


class Deadline:
    """A context manager, entered once. `at`: on the running loop's clock, seconds."""

    __slots__ = ("_at", "_cancelling", "_expired", "_loop", "_task", "_timer")

    def __init__(self, at: float) -> None:
        self._at = at

    def __enter__(self) -> "Deadline":
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a deadline needs a task to cancel")
        self._task = task
        self._cancelling = task.cancelling()
        self._expired = False
        self._loop = task.get_loop()
        self._timer = self._loop.call_at(self._at, self._look)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()
        if self._expired and self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise TimeoutError from error

    def move(self, at: float) -> None:
        """The deadline is `at` now; a later one costs nothing until the earlier one has passed."""
        if at < self._at and not self._expired:
            self._timer.cancel()
            self._timer = self._loop.call_at(at, self._look)
        self._at = at

    def _look(self) -> None:
        if self._loop.time() < self._at:
            self._timer = self._loop.call_at(self._at, self._look)
        else:
            self._expired = True
            self._task.cancel()
