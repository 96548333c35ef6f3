"""Steady load: requests at a fixed rate for as long as a block runs, whether or not they are answered.

Open loop, as clients that do not know of each other: a gateway that slows down is not sent less.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.faults.asking import Client, Seen


@dataclass(slots=True)
class Load:
    """What was asked so far. `asked_at`: monotonic seconds, in the order of `answers` once the block is over."""

    asked_at: list[float] = field(default_factory=list)
    answers: list[Seen] = field(default_factory=list)

    def since(self, then: float) -> list[Seen]:
        """The answers to what was asked after `then`, monotonic seconds."""
        return [seen for seen in self.answers if seen.ended_at - seen.took_s >= then]


@asynccontextmanager
async def steady(client: Client, per_s: float, asked: Callable[[int], Mapping[str, Any]]) -> AsyncIterator[Load]:
    """Ask `per_s` times a second; `asked` gives the n-th request. On the way out every answer is waited for."""
    load, over, running = Load(), asyncio.Event(), set[asyncio.Task[None]]()

    async def one(number: int) -> None:
        load.answers.append(await client.ask(**asked(number)))

    async def run() -> None:
        began = time.monotonic()
        number = 0
        while not over.is_set():
            load.asked_at.append(time.monotonic())
            task = asyncio.create_task(one(number))
            running.add(task)
            task.add_done_callback(running.discard)
            number += 1
            await asyncio.sleep(max(0.0, began + number / per_s - time.monotonic()))

    sender = asyncio.create_task(run())
    try:
        yield load
    finally:
        over.set()
        await sender
        await asyncio.gather(*running)


def peak_per_s(times: list[float]) -> int:
    """The most of `times`, in seconds and sorted, within any one second."""
    first = most = 0
    for last, at in enumerate(times):
        while times[first] < at - 1.0:
            first += 1
        most = max(most, last - first + 1)
    return most
