"""The demo's tables: every answer, and a line per band. Stand-ins are named as such wherever they answered."""

from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from benchmarks.demo.asking import Answer
from models.abacus.tasks import Band

LONGEST = 60


def show_answers(console: Console, answers: Sequence[Answer]) -> None:
    """A row per answer, in the order asked."""
    table = Table(title="held-out prompts, model: auto", caption="first text: of a whole answer, the time to all of it")
    for name in ("band", "prompt", "answer", "", "model", "streamed"):
        table.add_column(name, overflow="fold")
    for name in ("first text", "cost, USD"):
        table.add_column(name, justify="right", no_wrap=True)
    for answer in answers:
        table.add_row(answer.problem.band, escape(answer.problem.prompt), *cells(answer))
    console.print(table)


def cells(answer: Answer) -> tuple[str, ...]:
    """Answer, verdict, model, streamed, time, cost."""
    if answer.error:
        return (escape(answer.error), "[red]failed[/]", "", "", "", "")
    verdict = "[green]right[/]" if answer.right else "[red]wrong[/]"
    return (
        escape(shortened(answer.text.strip())),
        verdict,
        who(answer),
        "yes" if answer.streamed else "",
        f"{answer.ttft_s * 1000:.0f} ms",
        f"{answer.cost_usd:.7f}",
    )


def shortened(text: str) -> str:
    """As much of `text` as a row holds."""
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def who(answer: Answer) -> str:
    """The model, its tier, and whether it is a stand-in."""
    tier = f"{answer.tier}, a stand-in" if answer.stand_in else answer.tier
    return f"{answer.model} ({tier})"


def show_summary(console: Console, answers: Sequence[Answer]) -> None:
    """A line per band: how many, how many right, who answered, what it cost."""
    table = Table("band", "asked", "right", "answered by", "median to first text", "cost, USD", title="summary")
    for band in Band:
        chosen = [answer for answer in answers if answer.problem.band is band]
        if chosen:
            right = sum(answer.right for answer in chosen)
            times = sorted(answer.ttft_s for answer in chosen)
            cost = sum(answer.cost_usd for answer in chosen if not answer.error)
            table.add_row(
                band,
                str(len(chosen)),
                f"{right} ({right / len(chosen):.0%})",
                models_of(chosen),
                f"{times[len(times) // 2] * 1000:.0f} ms",
                f"{cost:.6f}",
            )
    console.print(table)


def models_of(answers: Sequence[Answer]) -> str:
    """Who answered how often."""
    names = [who(answer) if not answer.error else "nobody" for answer in answers]
    return ", ".join(f"{names.count(name)} {name}" for name in dict.fromkeys(names))
