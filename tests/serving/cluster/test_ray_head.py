"""Stopping by session: everything that was started ends, nothing else does, and a recycled pid is never trusted."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from serving.cluster.ports import free_port
from serving.cluster.ray_head import RayHead, start_head

PARENT = (
    "import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', {child!r}]); print('up', flush=True); {wait}"
)
STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
PATIENT = "import time; time.sleep(600)"


@contextmanager
def head(child: str = PATIENT, wait: str = "time.sleep(600)") -> Iterator[RayHead]:
    """A process in a session of its own with one child, seen as a head."""
    code = PARENT.format(child=child, wait=wait)
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, start_new_session=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        found = RayHead(process.pid, ticks(process.pid))
        try:
            yield found
        finally:
            found.kill()


def ticks(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_stop_ends_the_head_and_what_it_started() -> None:
    with head() as found:
        assert found.alive()
        until(lambda: len(found.members()) == 2)
        found.stop(grace_s=0.2)
        assert not found.alive()
        assert found.members() == []
        found.stop(grace_s=0.2)


def test_a_child_that_ignores_the_signal_is_ended_too() -> None:
    with head(child=STUBBORN) as found:
        until(lambda: len(found.members()) == 2)
        found.stop(grace_s=0.2)
        assert found.members() == []


def test_a_child_left_behind_by_a_dead_head_is_found_and_ended() -> None:
    with head(wait="pass") as found:
        until(lambda: not found.alive())
        assert len(found.members()) == 1
        found.kill()
        assert found.members() == []


def test_a_process_that_took_over_the_pid_is_left_alone() -> None:
    with head() as found:
        recycled = RayHead(found.pid, found.started + 1)
        assert not recycled.alive()
        assert recycled.members() == []
        recycled.stop(grace_s=0.1)
        recycled.kill()
        assert found.alive()


def test_processes_of_other_sessions_are_no_members() -> None:
    with head() as found, head() as other:
        found.kill()
        assert other.alive()
        assert os.getpid() not in other.members()


def test_a_head_that_cannot_run_leaves_its_reason_in_the_log(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    log = tmp_path / "ray.log"
    no_folder = tmp_path / "file" / "ray"
    started = start_head(temp_dir=no_folder, dashboard_port=free_port(), environment=dict(os.environ), log=log)
    try:
        until(lambda: not started.alive())
    finally:
        started.kill()
    assert "NotADirectoryError" in log.read_text()
