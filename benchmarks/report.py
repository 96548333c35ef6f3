"""A benchmark's result: bars met or missed, on which hardware and commit, as JSON and as a table.

Knows nothing of what was measured. A missed bar is shown like a met one, and `exit_code` is 1.
"""

import json
import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

BUILD = Path("build/bench")


@dataclass(frozen=True, slots=True)
class Bar:
    """One measured value. `bar` is the least acceptable value (the most, with `at_most`); None: shown, not judged."""

    name: str
    value: float
    unit: str
    bar: float | None = None
    at_most: bool = False
    low: float | None = None
    """Least and greatest single measurement behind `value`."""
    high: float | None = None

    @property
    def ok(self) -> bool | None:
        """Is the bar met? None when there is none."""
        if self.bar is None:
            return None
        return self.value <= self.bar if self.at_most else self.value >= self.bar


@dataclass(frozen=True, slots=True)
class Report:
    """What `command` measured. `tier` says on what: "simulated", "fake engine", "real CPU" or "real GPU"."""

    command: str
    tier: str
    bars: Sequence[Bar]
    rounds: Sequence[Mapping[str, Any]] = ()
    notes: Sequence[str] = ()
    hardware: Mapping[str, Any] = field(default_factory=lambda: hardware())
    commit: str = field(default_factory=lambda: commit())

    @property
    def exit_code(self) -> int:
        """1 when a bar is missed."""
        return int(any(bar.ok is False for bar in self.bars))

    def write(self, path: Path) -> None:
        """Write the JSON, folders included."""
        path.parent.mkdir(parents=True, exist_ok=True)
        fields = {
            "command": self.command,
            "hardware": dict(self.hardware),
            "tier": self.tier,
            "commit": self.commit,
            "bars": [asdict(bar) | {"ok": bar.ok} for bar in self.bars],
            "notes": list(self.notes),
            "rounds": list(self.rounds),
        }
        path.write_text(json.dumps(fields, indent=2) + "\n")

    def show(self, console: Console) -> None:
        """Print the table, misses included."""
        table = Table(title=f"{self.command} ({self.tier})", caption=self._caption(), caption_justify="left")
        table.add_column("measured")
        for heading in ("value", "lowest", "highest", "bar"):
            table.add_column(heading, justify="right")
        table.add_column("")
        for bar in self.bars:
            table.add_row(*_cells(bar))
        console.print(table)

    def _caption(self) -> str:
        where = f"{self.hardware['cpu']}, {self.hardware['cpus']} CPUs, load {self.hardware['load_1m']}, {self.commit}"
        return "\n".join([where, *self.notes])


def _cells(bar: Bar) -> list[str]:
    sign = "≤" if bar.at_most else "≥"
    limit = "" if bar.bar is None else f"{sign} {_number(bar.bar)}"
    verdict = {None: "", True: "[green]met[/]", False: "[bold red]MISSED[/]"}[bar.ok]
    value = f"{_number(bar.value)} {bar.unit}".strip()
    return [bar.name, value, _number(bar.low), _number(bar.high), limit, verdict]


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def hardware() -> dict[str, Any]:
    """What the figures depend on. `load_1m`: the machine's load average when the report is made."""
    return {
        "cpu": _cpu_name(),
        "cpus": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "load_1m": round(os.getloadavg()[0], 2),
    }


def _cpu_name() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def commit() -> str:
    """The commit's short hash, with `+` when the tree differs from it; "no commit" outside a repository."""
    head = _git("rev-parse", "--short", "HEAD")
    if head is None:
        return "no commit"
    return f"{head}+" if _git("status", "--porcelain") else head


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()
