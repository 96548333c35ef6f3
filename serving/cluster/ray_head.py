"""A Ray head node of our own: one `ray start --block` process in its own session, started and stopped by pid.

Knows nothing of Serve or models. Every process Ray starts stays in the head's session, so what is left after a stop
can be found and ended without touching any other process of the machine. A pid alone is never trusted: the start
time recorded beside it tells a recycled pid apart.
"""

import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from serving.cluster.ports import free_port

_POLL_S = 0.1
_OBJECT_STORE_BYTES = 100_000_000


class ClusterError(Exception):
    """The cluster could not be started, reached or stopped; the message is for the operator. Exit code 1."""


@dataclass(frozen=True, slots=True)
class RayHead:
    """A head process. `started`: its start time in clock ticks since boot, as the kernel gives it."""

    pid: int
    started: int

    def alive(self) -> bool:
        """Is it still this very process?"""
        return _start_ticks(self.pid) == self.started

    def members(self) -> list[int]:
        """Pids of everything in the head's session, zombies aside. Empty once its pid belongs to somebody else."""
        if _start_ticks(self.pid) not in (None, self.started):
            return []
        return [pid for pid, stat in _processes() if stat.session == self.pid and stat.state != "Z"]

    def stop(self, *, grace_s: float) -> None:
        """Ask Ray to stop, wait up to `grace_s`, then end what is left of the session. Idempotent."""
        if self.alive():
            _signal(self.pid, signal.SIGTERM)
        deadline = time.monotonic() + grace_s
        while self.members() and time.monotonic() < deadline:
            _reap(self.pid)
            time.sleep(_POLL_S)
        self.kill()

    def kill(self) -> None:
        """End the whole session at once and wait until it is gone."""
        while left := self.members():
            for pid in left:
                _signal(pid, signal.SIGKILL)
            _reap(self.pid)
            time.sleep(_POLL_S)


def start_head(*, temp_dir: Path, dashboard_port: int, environment: Mapping[str, str], log: Path) -> RayHead:
    """Start Ray on this machine; returns at once. `temp_dir` must be short: Ray puts sockets in it.

    Dashboard and client port listen on the loopback interface only or need Ray's token (docs/network.md).
    """
    command = _command(temp_dir, dashboard_port)
    pid = os.posix_spawn(command[0], command, dict(environment), file_actions=_output_to(log), setsid=True)
    started = _start_ticks(pid)
    if started is None:
        raise ClusterError(f"Ray ended as soon as it was started; its log is {log}")
    return RayHead(pid, started)


def _output_to(log: Path) -> list[tuple[int, ...] | tuple[int, int, str, int, int]]:
    """No input; output and errors into `log`, which starts empty."""
    return [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, str(log), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600),
        (os.POSIX_SPAWN_DUP2, 1, 2),
    ]


def _command(temp_dir: Path, dashboard_port: int) -> list[str]:
    options = {
        "port": free_port(),
        "ray-client-server-port": free_port(),
        "dashboard-host": "127.0.0.1",
        "dashboard-port": dashboard_port,
        "dashboard-agent-listen-port": 0,
        "min-worker-port": 0,
        "max-worker-port": 0,
        "temp-dir": temp_dir,
        "num-cpus": os.cpu_count() or 1,
        "object-store-memory": _OBJECT_STORE_BYTES,
        "include-log-monitor": "false",
        "log-color": "false",
    }
    flags = [f"--{name}={value}" for name, value in options.items()]
    return [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", "--disable-usage-stats", *flags]


@dataclass(frozen=True, slots=True)
class _Stat:
    state: str
    session: int
    started: int


def _processes() -> Iterator[tuple[int, _Stat]]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (stat := _stat(int(entry.name))):
            yield int(entry.name), stat


def _stat(pid: int) -> _Stat | None:
    """The fields of /proc/<pid>/stat behind the command name, which may itself hold spaces and brackets."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return _Stat(state=fields[0], session=int(fields[3]), started=int(fields[19]))


def _start_ticks(pid: int) -> int | None:
    stat = _stat(pid)
    return None if stat is None or stat.state == "Z" else stat.started


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def _reap(pid: int) -> None:
    """Collect the head if it is our child, so that it does not linger as a zombie."""
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return
