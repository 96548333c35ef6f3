"""`python -m benchmarks.recovery`: a cluster of its own, a repeated prompt, clients that leave, a replica killed.

Everything is asked through the gateway, behind HAProxy; the engines are only watched. Exit code 1 when a bar is missed;
the result is written to build/bench/recovery.json.
"""

import asyncio
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import aiohttp
from rich.console import Console

from benchmarks.demo.stage import ROOT, Stage, StageError, model_of_tier, staged
from benchmarks.recovery.asking import Asker, Usage
from benchmarks.recovery.engines import Engines
from benchmarks.recovery.killing import GONE_LIMIT_S, Kill, kill
from benchmarks.recovery.leaving import CLIENTS, Door, Round, RoundError, leave
from benchmarks.report import BUILD, Bar, Report, hardware
from models.abacus.tasks import held_out

COMMAND = "make bench-recovery"
FOLDER = Path("build/recovery")
ROUNDS = 4
PROMPT = "What is 47 + 8?"
PREFIX_PROMPTS = 5
WIDTH = 120
"""Columns where nobody watches."""
FEWEST_OTHERS = 20
"""Requests to the other model below which their success says nothing."""


@dataclass(frozen=True, slots=True)
class Seen:
    """Everything one run saw. `returned`: does status show another replica in the killed one's place?"""

    usages: Sequence[Usage]
    rounds: Sequence[Round]
    kill: Kill
    returned: bool


def main() -> int:
    """Run it. The exit code."""
    began = time.monotonic()
    console = Console() if sys.stdout.isatty() else Console(width=WIDTH)
    before = hardware()["load_1m"]
    try:
        with staged(FOLDER.resolve(), console) as stage:
            seen = asyncio.run(_watch(stage, metrics_token(stage), console))
    except (StageError, RoundError, ValueError, OSError, EOFError, aiohttp.ClientError) as error:
        console.print(f"[red]{type(error).__name__}: {error}[/]")
        return 1
    wall_s = time.monotonic() - began
    report = Report(COMMAND, "real CPU", bars(seen, wall_s), rounds(seen), notes(seen, before))
    report.write(BUILD / "recovery.json")
    report.show(console)
    return report.exit_code


def metrics_token(stage: Stage) -> str:
    """What `millrace scrape-config` writes into the stage's home for Prometheus."""
    command = [sys.executable, "-m", "serving.cli", "scrape-config"]
    subprocess.run(command, cwd=ROOT, env=dict(stage.environment), stdout=subprocess.DEVNULL, check=True)
    return (stage.home / "metrics-token").read_text().strip()


async def _watch(stage: Stage, token: str, console: Console) -> Seen:
    small, large = model_of_tier("small"), model_of_tier("large")
    async with aiohttp.ClientSession() as http:
        asker = Asker(http, stage.url, stage.key)
        console.print(f"The same prompt twice to {large}.", highlight=False)
        usages = [await asker.usage(large, long_prompt()) for _ in range(2)]
        engines = await Engines.found(http, stage.url, large, token)
        door = Door(stage.url, stage.key, large)
        console.print(f"{2 * ROUNDS} rounds of {CLIENTS} clients that leave.", highlight=False)
        left = [await leave(door, engines.load, stream=turn % 2 == 0) for turn in range(2 * ROUNDS)]
        killed, returned = await _kill(stage, asker, large, small, console)
    return Seen(usages, left, killed, returned)


async def _kill(stage: Stage, asker: Asker, victim: str, other: str, console: Console) -> tuple[Kill, bool]:
    before = await asyncio.to_thread(stage.replica, victim)
    if before is None:
        raise StageError(f"{victim} has no running replica to kill")
    console.print(f"SIGKILL to process {before['pid']}, the only replica of {victim}.", highlight=False)
    killed = await kill(
        before["pid"],
        lambda stream: asker.failure(victim, PROMPT, stream=stream),
        lambda stream: asker.failure(other, PROMPT, stream=stream),
    )
    after = await asyncio.to_thread(stage.replica, victim)
    return killed, killed.back_s is not None and after is not None and after["id"] != before["id"]


def long_prompt() -> str:
    """Held-out problems in a row: more tokens than two blocks of the prefix cache, fewer than the context."""
    return " ".join(problem.prompt for problem in held_out(PREFIX_PROMPTS))


def bars(seen: Seen, wall_s: float) -> list[Bar]:
    """What issue 2 asks for, and what else is worth seeing."""
    first, second = seen.usages
    killed = seen.kill
    gone_s = GONE_LIMIT_S if killed.gone_s is None else killed.gone_s
    back = [] if killed.back_s is None else [Bar("it answers again after", killed.back_s, "s")]
    return [
        Bar("prompt sent twice", second.prompt, "tokens", 65),
        Bar("of it cached the first time", first.cached, "tokens"),
        Bar("of it cached the second time", second.cached, "tokens", 1),
        _leaving("clients leave streams: 0 unfinished after", [r for r in seen.rounds if r.stream]),
        _leaving("clients leave whole answers: 0 unfinished after", [r for r in seen.rounds if not r.stream]),
        Bar("of their answers generated by then, at most", max(r.share for r in seen.rounds), "", 0.99, at_most=True),
        Bar("processes of the killed replica", len(killed.processes), ""),
        Bar("none of them left after", gone_s, "s", 15.0, at_most=True),
        Bar("requests to the other model meanwhile", len(killed.others), "", FEWEST_OTHERS),
        Bar("of them failed", len(killed.failures), "", 0.0, at_most=True),
        Bar("the replica is back", float(seen.returned), "", 1.0),
        *back,
        Bar("all of it", wall_s, "s"),
    ]


def _leaving(name: str, chosen: Sequence[Round]) -> Bar:
    """The slowest round against the bar."""
    times = [one.gone_s for one in chosen]
    return Bar(name, max(times), "s", 1.0, at_most=True, low=min(times), high=max(times))


def rounds(seen: Seen) -> list[dict[str, Any]]:
    """Every single measurement, for the JSON."""
    left = [{"part": "leaving", **asdict(one)} for one in seen.rounds]
    return [*left, {"part": "kill", **asdict(seen.kill)}]


def notes(seen: Seen, load_before: float) -> list[str]:
    """What has to be known to read the figures."""
    poll_s = max(one.gone_s / one.polls for one in seen.rounds)
    found = [
        f"load average {load_before} before the run; the one above contains the run itself",
        f"leaving: {CLIENTS} clients a round, the slowest of their rounds; "
        f"the engine was polled every {poll_s * 1000:.0f} ms or oftener, and the last poll is in the figure",
    ]
    if seen.kill.gone_s is None:
        found.append(f"after {GONE_LIMIT_S:g} s processes of the killed replica were still there")
    return [*found, *(f"failed: {failure}" for failure in dict.fromkeys(seen.kill.failures))]


if __name__ == "__main__":
    sys.exit(main())
