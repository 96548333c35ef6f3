"""The processes of one replica, read from /proc: the actor and everything below it, and which of them still exist.

A process is told from a later one of the same id by its start time. One that has ended and waits to be collected
holds no memory and no device: it counts as gone.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
ENDED = ("Z", "X")


@dataclass(frozen=True, slots=True)
class Process:
    """One row of the process table. `started`: clock ticks after boot."""

    pid: int
    parent: int
    state: str
    started: int


def family(pid: int) -> list[Process]:
    """Process `pid` and all below it, as of now. Raises ValueError when it does not exist."""
    return below(pid, table())


def below(pid: int, processes: Iterable[Process]) -> list[Process]:
    """Process `pid` and all below it among `processes`, parents first. Raises ValueError when it is not there."""
    rows = {process.pid: process for process in processes}
    if pid not in rows:
        raise ValueError(f"there is no process {pid}")
    found = [rows[pid]]
    for parent in found:
        found += [row for row in rows.values() if row.parent == parent.pid]
    return found


def left(processes: Iterable[Process]) -> list[Process]:
    """Those that still exist."""
    return [process for process in processes if exists(process, _read(process.pid))]


def exists(process: Process, now: Process | None) -> bool:
    """Is `now`, what stands under the same id, still this process and not ended?"""
    return now is not None and now.started == process.started and now.state not in ENDED


def table() -> list[Process]:
    """Every process."""
    rows = [_read(int(folder.name)) for folder in PROC.iterdir() if folder.name.isdigit()]
    return [row for row in rows if row is not None]


def parse(stat: str) -> Process:
    """A row from the text of `/proc/<pid>/stat` (proc_pid_stat(5)); the name in it may hold blanks and brackets."""
    pid, _, rest = stat.partition(" ")
    fields = rest.rpartition(")")[2].split()
    return Process(int(pid), int(fields[1]), fields[0], int(fields[19]))


def _read(pid: int) -> Process | None:
    try:
        return parse((PROC / str(pid) / "stat").read_text())
    except OSError:  # ended meanwhile
        return None
