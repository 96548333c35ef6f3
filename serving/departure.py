"""The end of a gateway: requests that are still being answered when it is told to stop, and what becomes of them.

Knows no server and no signal: whoever does calls `drain`, and `cut` when the time is over. Nothing is cut without being
told so, in the stream or as a 503.
"""

import asyncio

from serving.record import Record


class Departure:
    """`begun`: readiness fails from now on. Requests enter and leave; those inside can be cut."""

    __slots__ = ("_inside", "begun")

    def __init__(self) -> None:
        self.begun = False
        self._inside: dict[asyncio.Task[object], Record] = {}

    def enter(self, record: Record) -> None:
        """The request of the running task begins."""
        task = asyncio.current_task()
        assert task is not None
        self._inside[task] = record

    def leave(self) -> None:
        """It has ended."""
        task = asyncio.current_task()
        assert task is not None
        del self._inside[task]

    def cut(self) -> None:
        """End every request that is inside: cancelled, and marked as cut (`cut_short`)."""
        for task, record in self._inside.items():
            record.cut = True
            task.cancel()


def cut_short(record: Record) -> bool:
    """Was the cancellation that the running task just caught a cut? Then it is taken back."""
    task = asyncio.current_task()
    if task is None or not record.cut:
        return False
    record.cut = False
    task.uncancel()
    return True
