"""`python -m benchmarks.demo`: start everything, ask held-out prompts, take the large model out, stop everything.

Exit code 0 only when every bar of the issue is met; the result is written to build/bench/demo.json.
"""

import asyncio
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from rich.console import Console

from benchmarks.demo.asking import Answer, Client
from benchmarks.demo.outage import Heard, Outage, kill_replica, live_through
from benchmarks.demo.stage import Stage, StageError, model_of_tier, staged
from benchmarks.demo.tables import models_of, shortened, show_answers, show_summary, who
from benchmarks.report import BUILD, Bar, Report
from models.abacus.tasks import Band, Problem, held_out

PER_BAND = 20
SEED = 20
AT_ONCE = 16
JUDGED = (Band.EASY, Band.MEDIUM, Band.HARD)
FOLDER = Path("build/demo")
LIMIT_S = 480.0
TELL_EVERY_S = 3.0
WIDTH = 140
"""Columns where nobody watches."""


def main() -> int:
    """Run the demo. The exit code."""
    began = time.monotonic()
    console = Console() if sys.stdout.isatty() else Console(width=WIDTH)
    try:
        with staged(FOLDER.resolve(), console) as stage:
            ready_s = time.monotonic() - began
            answers, outage, healed = asyncio.run(_play(stage, console))
    except StageError as error:
        console.print(f"[red]{error}[/]")
        return 1
    wall_s = time.monotonic() - began
    report = Report("make demo", "real CPU", bars(answers, outage, healed, ready_s, wall_s))
    report.write(BUILD / "demo.json")
    report.show(console)
    return report.exit_code


async def _play(stage: Stage, console: Console) -> tuple[list[Answer], Outage, bool]:
    client = Client(stage.url, stage.key)
    try:
        console.rule("held-out prompts over all bands, half of them streamed")
        answers = await _ask_all(client, held_out(PER_BAND, seed=SEED))
        show_answers(console, answers)
        show_summary(console, answers)
        console.rule("an outage")
        outage, healed = await _outage(stage, client, answers, console)
    finally:
        await client.close()
    return answers, outage, healed


async def _ask_all(client: Client, problems: Sequence[Problem]) -> list[Answer]:
    room = asyncio.Semaphore(AT_ONCE)

    async def ask(i: int, problem: Problem) -> Answer:
        async with room:
            return await client.ask(problem, stream=i % 2 == 0)

    return await asyncio.gather(*(ask(i, problem) for i, problem in enumerate(problems)))


async def _outage(stage: Stage, client: Client, answers: Sequence[Answer], console: Console) -> tuple[Outage, bool]:
    """Kill the large model's replica and ask what it used to answer. Also: does status show another replica after?"""
    model = model_of_tier("large")
    replica = await asyncio.to_thread(stage.replica, model)
    if replica is None:
        raise StageError(f"{model} has no running replica to kill")
    console.print(
        f"SIGKILL to process {replica['pid']}, the only replica ({replica['id']}) of {model}.", highlight=False
    )
    kill_replica(replica["pid"])
    problems = [answer.problem for answer in answers if answer.model == model] or [answer.problem for answer in answers]
    outage = await live_through(problems, model, lambda p, s: client.ask(p, stream=s), _teller(console))
    console.print(f"{len(outage.answers)} answers meanwhile: {models_of(outage.answers)}", highlight=False)
    after = await asyncio.to_thread(stage.replica, model)
    healed = outage.back and after is not None and after["id"] != replica["id"]
    if after is not None and healed:
        console.print(
            f"{model} is back after {outage.away_s:.1f} s: replica {after['id']}, process {after['pid']}.",
            highlight=False,
        )
    return outage, healed


def _teller(console: Console) -> Heard:
    """Prints an answer when somebody else answers than before, and one every few seconds."""
    told: list[tuple[float, str]] = []

    def heard(elapsed_s: float, answer: Answer) -> None:
        by = answer.error or who(answer)
        if told and told[-1][1] == by and elapsed_s - told[-1][0] < TELL_EVERY_S:
            return
        told.append((elapsed_s, by))
        verdict = "right" if answer.right else "wrong"
        said = (
            answer.error or f"{shortened(answer.text.strip())} ({verdict}), {who(answer)}, attempts {answer.attempts}"
        )
        console.print(f"{elapsed_s:6.1f} s  {answer.problem.prompt} -> {said}", highlight=False, markup=False)

    return heard


def bars(answers: Sequence[Answer], outage: Outage, healed: bool, ready_s: float, wall_s: float) -> list[Bar]:
    """Every bar of the issue, and what else is worth seeing."""
    judged = [answer for answer in answers if answer.problem.band in JUDGED]
    hosted = [answer for answer in outage.answers if answer.tier == "hosted"]
    return [
        Bar("prompts asked", len(answers), "", 60),
        Bar("of them streamed", share(answer.streamed for answer in answers), "", 0.5),
        Bar("answered", share(not answer.error for answer in answers), "", 1.0),
        Bar("right: easy, medium and hard", share(answer.right for answer in judged), "", 0.9),
        *(_band(answers, band) for band in Band),
        Bar("answered during the outage", share(not answer.error for answer in outage.answers), "", 1.0),
        Bar("by the hosted tier during the outage", len(hosted), "answers", 1),
        Bar("of them marked as a stand-in", share(answer.stand_in for answer in hosted), "", 1.0),
        Bar("the replica is back", float(healed), "", 1.0),
        Bar("away", outage.away_s, "s"),
        Bar("ready after", ready_s, "s"),
        Bar("all of it", wall_s, "s", LIMIT_S, at_most=True),
    ]


def _band(answers: Sequence[Answer], band: Band) -> Bar:
    return Bar(f"right: {band}", share(answer.right for answer in answers if answer.problem.band is band), "")


def share(judgements: Iterable[bool]) -> float:
    """The share of true ones; 0 of none."""
    listed = list(judgements)
    return sum(listed) / len(listed) if listed else 0.0


if __name__ == "__main__":
    sys.exit(main())
