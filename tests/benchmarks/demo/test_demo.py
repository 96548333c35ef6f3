"""The demo's verdict: every bar of the issue, met or missed by what was seen; and tables that hide no stand-in."""

from dataclasses import replace
from io import StringIO

import pytest
from rich.console import Console

from benchmarks.demo.__main__ import AT_ONCE, PER_BAND, bars, share
from benchmarks.demo.asking import Answer
from benchmarks.demo.outage import Outage
from benchmarks.demo.tables import models_of, show_answers, show_summary
from benchmarks.report import Report
from models.abacus.tasks import Band, held_out

RIGHT = [
    Answer(p, i % 2 == 0, p.answer, "abacus-small", "small", False, 1, 0.1, 0.001)
    for i, p in enumerate(held_out(PER_BAND, seed=3))
]
HOSTED = [replace(answer, model="stand-in", tier="hosted", stand_in=True, attempts=2) for answer in RIGHT[:9]]
GOOD = Outage([*HOSTED, *RIGHT[:6]], 20.0, True)


def missed(answers: list[Answer], outage: Outage = GOOD, *, healed: bool = True, wall_s: float = 200.0) -> list[str]:
    found = bars(answers, outage, healed, ready_s=90.0, wall_s=wall_s)
    assert Report("demo", "real", found).exit_code == int(any(bar.ok is False for bar in found))
    return [bar.name for bar in found if bar.ok is False]


def wrong(answers: list[Answer], band: Band, count: int) -> list[Answer]:
    """`count` answers of `band` made wrong."""
    chosen = [i for i, answer in enumerate(answers) if answer.problem.band is band][:count]
    return [replace(answer, text="?") if i in chosen else answer for i, answer in enumerate(answers)]


def test_enough_is_asked() -> None:
    assert len(RIGHT) >= 60
    assert AT_ONCE > 1


def test_all_is_well() -> None:
    assert missed(RIGHT) == []


def test_wrong_expert_answers_are_shown_but_not_judged() -> None:
    assert missed(wrong(RIGHT, Band.EXPERT, PER_BAND)) == []


def test_a_tenth_may_be_wrong_and_no_more() -> None:
    allowed = 3 * PER_BAND // 10
    assert missed(wrong(RIGHT, Band.HARD, allowed)) == []
    assert missed(wrong(RIGHT, Band.HARD, allowed + 1)) == ["right: easy, medium and hard"]


def test_an_unanswered_prompt_is_a_miss() -> None:
    assert "answered" in missed([replace(RIGHT[0], error="503"), *RIGHT[1:]])


@pytest.mark.parametrize(
    ("outage", "healed", "name"),
    [
        (Outage([replace(HOSTED[0], error="502"), *HOSTED], 20.0, True), True, "answered during the outage"),
        (Outage(RIGHT[:6], 20.0, True), True, "by the hosted tier during the outage"),
        (Outage([replace(HOSTED[0], stand_in=False)], 20.0, True), True, "of them marked as a stand-in"),
        (GOOD, False, "the replica is back"),
    ],
    ids=["unanswered", "never hosted", "unmarked", "not back"],
)
def test_what_an_outage_must_not_do(outage: Outage, healed: bool, name: str) -> None:
    assert name in missed(RIGHT, outage, healed=healed)


def test_taking_too_long_is_a_miss() -> None:
    assert missed(RIGHT, wall_s=481.0) == ["all of it"]


def test_the_share_of_nothing_is_nothing() -> None:
    assert share([]) == 0.0


def test_the_tables_name_stand_ins_and_failures() -> None:
    out = StringIO()
    console = Console(file=out, width=160)
    show_answers(console, [RIGHT[0], HOSTED[1], replace(RIGHT[2], error="[503] no replica")])
    show_summary(console, [*RIGHT, *HOSTED])
    text = out.getvalue()
    assert "stand-in (hosted, a stand-in)" in text
    assert "[503] no replica" in text
    assert f"{PER_BAND} (100%)" in text


def test_who_answered_how_often() -> None:
    said = models_of([*RIGHT[:2], HOSTED[0], replace(RIGHT[3], error="x")])
    assert said == "2 abacus-small (small), 1 stand-in (hosted, a stand-in), 1 nobody"
