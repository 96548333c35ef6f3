"""How long a door is shut: steady requests, each on a connection of its own, and what became of them around a kill.

Knows nothing of what is killed. Times are monotonic seconds.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp

from tests.faults.asking import Client, Seen

EVERY_S = 0.05


@dataclass(slots=True)
class Steady:
    """Requests sent at a steady pace, whatever becomes of them: (sent at, answer)."""

    seen: list[tuple[float, Seen]] = field(default_factory=list)

    def good_after(self, moment: float) -> bool:
        """Has a request that was sent after `moment` been answered well?"""
        return any(sent > moment and seen.good for sent, seen in self.seen)

    def outage(self, since: float) -> "Outage":
        """What clients met from `since` on."""
        after = [(sent, seen) for sent, seen in self.seen if seen.ended_at > since]
        first = min((seen.ended_at for sent, seen in after if sent > since and seen.good), default=float("inf"))
        bad = [seen for _, seen in after if not seen.good]
        last_bad = max((seen.ended_at for seen in bad), default=since)
        return Outage(first - since, last_bad - since, len(bad), len(after), bad)


@dataclass(frozen=True, slots=True)
class Outage:
    """`first_good_s`: from the kill to the end of the first good answer to a request sent after it."""

    first_good_s: float
    last_failure_s: float
    failed: int
    asked: int
    failures: list[Seen]


@asynccontextmanager
async def steady(url: str, key: str, *, model: str, every_s: float = EVERY_S) -> AsyncIterator[Steady]:
    """Short requests for `model` until the block ends, and what is then still under way with them."""
    steady = Steady()
    under_way: set[asyncio.Task[None]] = set()
    connector = aiohttp.TCPConnector(limit=0, force_close=True)
    async with aiohttp.ClientSession(connector=connector) as session:
        client = Client(session, url, key)

        async def one() -> None:
            sent = time.monotonic()
            steady.seen.append((sent, await client.ask(model=model, stream=False)))

        async def pace() -> None:
            while True:
                task = asyncio.create_task(one())
                under_way.add(task)
                task.add_done_callback(under_way.discard)
                await asyncio.sleep(every_s)

        pacing = asyncio.create_task(pace())
        try:
            yield steady
        finally:
            pacing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await pacing
            if under_way:
                await asyncio.wait(under_way)
