"""The outage: kills a model's replica with SIGKILL and keeps asking until the model answers again.

Knows nothing of how the cluster heals. Only a process that is a Serve replica is killed.
"""

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from benchmarks.demo.asking import Answer
from models.abacus.tasks import Problem

LIMIT_S = 240.0
PAUSE_S = 0.25
AT_ONCE = 2
BACK_AFTER = 6
"""Answers by the model that count as its return: both gateway replicas have found it again."""

Ask = Callable[[Problem, bool], Awaitable[Answer]]
Heard = Callable[[float, Answer], None]


@dataclass(frozen=True, slots=True)
class Outage:
    """What was answered, first to last, and how long the model was away. `back`: did it return in time?"""

    answers: Sequence[Answer]
    away_s: float
    back: bool


def kill_replica(pid: int) -> None:
    """SIGKILL. Raises ValueError when `pid` is not a Serve replica."""
    title = Path(f"/proc/{pid}/cmdline").read_bytes()
    if b"ray::ServeReplica" not in title:
        raise ValueError(f"process {pid} is no Serve replica")
    os.kill(pid, signal.SIGKILL)


async def live_through(problems: Sequence[Problem], model: str, ask: Ask, heard: Heard) -> Outage:
    """Ask `problems` over and over until `model` answers again; `heard` is told of each answer as it comes."""
    began = time.monotonic()
    answers: list[Answer] = []
    first_back_s: float | None = None
    for turn in count():
        now_s = time.monotonic() - began
        if now_s > LIMIT_S or sum(answer.model == model for answer in answers) >= BACK_AFTER:
            break
        batch = [problems[(turn * AT_ONCE + i) % len(problems)] for i in range(AT_ONCE)]
        for answer in await asyncio.gather(*(ask(problem, i % 2 == 0) for i, problem in enumerate(batch))):
            elapsed_s = time.monotonic() - began
            answers.append(answer)
            heard(elapsed_s, answer)
            if answer.model == model and first_back_s is None:
                first_back_s = elapsed_s
        await asyncio.sleep(PAUSE_S)
    return Outage(answers, first_back_s or time.monotonic() - began, first_back_s is not None)
