"""A pytest plugin: tests that measure, and what became of them, as one report beside those of the benchmarks.

    python -m pytest tests/faults --figures faults   →   build/bench/faults.json and a table, misses included

The fixture `figure` records a value with its bar, the marker `row` says which row of a matrix a test stands for. With
`--figures` a missed bar fails the session; without it figures are only printed. Knows nothing of what is measured.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

import pytest
from rich.console import Console
from rich.table import Table

from benchmarks.report import BUILD, Bar, Report

ROW = "row"


class Figure(Protocol):
    """What the fixture `figure` gives a test."""

    def __call__(
        self,
        name: str,
        value: float,
        unit: str = "",
        bar: float | None = None,
        ok: bool | None = None,
        *,
        at_most: bool = True,
        low: float | None = None,
        high: float | None = None,
    ) -> None:
        """Record `value`. `bar`: the most it may be, the least without `at_most`; None is shown and not judged.

        `ok` may say instead of `at_most` whether the bar was met, which tells on what side of it is good.
        """
        ...


@dataclass(slots=True)
class Row:
    """The tests of one row: how many ended how, and how long they took, fixtures included."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0
    seconds: float = 0.0


@dataclass(slots=True)
class Figures:
    """Everything one session measured. `name`: of the report and of the make target; empty when none is written."""

    name: str
    tier: str
    bars: list[Bar] = field(default_factory=list)
    rows: defaultdict[str, Row] = field(default_factory=lambda: defaultdict(Row))

    def note(self, report: pytest.TestReport) -> None:
        """Count one phase of a test for each of its rows."""
        for row in (self.rows[str(value)] for key, value in report.user_properties if key == ROW):
            row.seconds += report.duration
            row.failed += report.failed
            row.skipped += report.skipped
            row.passed += report.passed and report.when == "call"

    def report(self) -> Report:
        """As it is written."""
        rounds = [
            {"row": name, "passed": row.passed, "failed": row.failed, "skipped": row.skipped,
             "seconds": round(row.seconds, 1)}
            for name, row in sorted(self.rows.items(), key=lambda item: _in_order(item[0]))
        ]  # fmt: skip
        return Report(command=f"make {self.name}", tier=self.tier, bars=self.bars, rounds=rounds)

    def show(self, console: Console) -> None:
        """Print the rows and the figures."""
        report = self.report()
        table = Table(title=f"make {self.name}: tests by row", title_justify="left")
        table.add_column(ROW)
        for heading in ("passed", "failed", "skipped", "seconds"):
            table.add_column(heading, justify="right")
        for each in report.rounds:
            table.add_row(*(str(value) for value in each.values()))
        console.print(table)
        report.show(console)


def _in_order(name: str) -> tuple[int, str]:
    return (int(name), name) if name.isdecimal() else (10**6, name)


_FIGURES = pytest.StashKey[Figures]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Where figures go."""
    group = parser.getgroup("figures")
    group.addoption("--figures", default="", metavar="NAME", help="write build/bench/NAME.json; a missed bar fails")
    group.addoption("--figures-tier", default="real CPU", help="what was measured on, for the report")


def pytest_configure(config: pytest.Config) -> None:
    """Declare the marker, open the record."""
    config.addinivalue_line("markers", f"{ROW}(*names): rows of the matrix that a test stands for")
    config.stash[_FIGURES] = Figures(config.getoption("--figures"), config.getoption("--figures-tier"))


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let every report of a test carry its rows."""
    for item in items:
        for mark in item.iter_markers(ROW):
            item.user_properties.extend((ROW, str(name)) for name in mark.args)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Count the report."""
    report = yield
    item.config.stash[_FIGURES].note(report)  # type: ignore[arg-type]
    return report


@pytest.fixture
def figure(pytestconfig: pytest.Config) -> Figure:
    """Records measured values, see `Figure`."""
    bars = pytestconfig.stash[_FIGURES].bars

    def record(
        name: str,
        value: float,
        unit: str = "",
        bar: float | None = None,
        ok: bool | None = None,
        *,
        at_most: bool = True,
        low: float | None = None,
        high: float | None = None,
    ) -> None:
        if ok is not None and bar is not None:
            at_most = (value <= bar) == ok
        bars.append(Bar(name, value, unit, bar, at_most=at_most, low=low, high=high))

    return record


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Write the report; a missed bar is a failure."""
    figures = session.config.stash[_FIGURES]
    if not figures.name or session.config.option.collectonly:
        return
    report = figures.report()
    report.write(BUILD / f"{figures.name}.json")
    if report.exit_code and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(config: pytest.Config) -> None:
    """Print the tables after the tests."""
    figures = config.stash[_FIGURES]
    if figures.name or figures.bars:
        figures.show(Console())
