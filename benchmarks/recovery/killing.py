"""SIGKILL of an engine replica while another model is kept busy: what is left of it, what fails, when it is back.

Knows of the cluster only an asking function and the replica's process id. Requests to the other model go on, streamed
and whole in turn, from before the kill until after the return.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from itertools import count

from benchmarks.demo.outage import kill_replica
from benchmarks.recovery.processes import Process, family, left

PAUSE_S = 0.1
"""Between two requests to the other model, and between two questions whether the killed one is back."""
POLL_S = 0.02
GONE_LIMIT_S = 60.0
BACK_LIMIT_S = 120.0
AROUND_S = 2.0
"""How long the other model is asked before the kill, and after the return."""

Ask = Callable[[bool], Awaitable[str]]
"""Asks a model, streamed or not; what went wrong, empty when nothing did."""


@dataclass(frozen=True, slots=True)
class Kill:
    """What was seen. `gone_s`, `back_s`: seconds after the kill; None: not within the limit."""

    processes: Sequence[Process]
    gone_s: float | None
    back_s: float | None
    others: Sequence[str]
    """One entry per request to the other model: what went wrong, or nothing."""

    @property
    def failures(self) -> list[str]:
        """What went wrong with requests to the other model."""
        return [other for other in self.others if other]


async def kill(pid: int, victim: Ask, other: Ask) -> Kill:
    """Kill replica `pid` and watch. Raises ValueError when it is no Serve replica."""
    async with _trickle(other) as others:
        await asyncio.sleep(AROUND_S)
        processes = family(pid)
        kill_replica(pid)
        killed_at = time.monotonic()
        gone_s, back_s = await asyncio.gather(_gone(processes, killed_at), _back(victim, killed_at))
        await asyncio.sleep(AROUND_S)
    return Kill(processes, gone_s, back_s, others.outcomes)


async def _gone(processes: Sequence[Process], killed_at: float) -> float | None:
    while left(processes):
        if time.monotonic() - killed_at > GONE_LIMIT_S:
            return None
        await asyncio.sleep(POLL_S)
    return time.monotonic() - killed_at


async def _back(victim: Ask, killed_at: float) -> float | None:
    while await victim(False):
        if time.monotonic() - killed_at > BACK_LIMIT_S:
            return None
        await asyncio.sleep(PAUSE_S)
    return time.monotonic() - killed_at


@dataclass(slots=True)
class _Outcomes:
    outcomes: list[str] = field(default_factory=list)


@contextlib.asynccontextmanager
async def _trickle(ask: Ask) -> AsyncIterator[_Outcomes]:
    """Asks for as long as the block runs; the last request is waited for."""
    seen, ending = _Outcomes(), asyncio.Event()

    async def run() -> None:
        for turn in count():
            if ending.is_set():
                return
            seen.outcomes.append(await ask(turn % 2 == 0))
            await asyncio.sleep(PAUSE_S)

    task = asyncio.create_task(run())
    try:
        yield seen
    finally:
        ending.set()
        await task
