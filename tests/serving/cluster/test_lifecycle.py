"""What is remembered of a cluster, and that a start that cannot work leaves nothing behind."""

import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from serving.cluster.home import Home
from serving.cluster.lifecycle import (
    PATIENCE_S,
    Cluster,
    forget_cluster,
    join_cluster,
    load_cluster,
    only_one,
    save_cluster,
    start_cluster,
)
from serving.cluster.ports import free_port
from serving.cluster.ray_head import ClusterError, RayHead
from serving.cluster.serve_api import ServeApi


@pytest.fixture
def head() -> Iterator[RayHead]:
    """A process in a session of its own that does nothing."""
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True) as process:
        stat_line = Path(f"/proc/{process.pid}/stat").read_text()
        found = RayHead(process.pid, int(stat_line.rpartition(")")[2].split()[19]))
        yield found
        found.kill()


def test_what_was_saved_is_loaded(tmp_path: Path, head: RayHead) -> None:
    home = Home(tmp_path)
    cluster = Cluster("http://127.0.0.1:1", "10.0.0.1:6379", tmp_path / "token", head, tmp_path / "t", "http://x:8000")
    save_cluster(home, cluster)
    assert load_cluster(home) == cluster
    assert stat.S_IMODE(home.cluster.stat().st_mode) == 0o600


def test_a_cluster_that_ended_is_forgotten_with_its_files(tmp_path: Path, head: RayHead) -> None:
    home = Home(tmp_path)
    rest = tmp_path / "sockets"
    rest.mkdir()
    save_cluster(home, Cluster("http://127.0.0.1:1", "", None, head, rest))
    head.kill()
    assert load_cluster(home) is None
    assert not home.cluster.exists()
    assert not rest.exists()


def test_a_joined_cluster_that_no_longer_answers_is_forgotten(tmp_path: Path) -> None:
    home = Home(tmp_path)
    save_cluster(home, Cluster(f"http://127.0.0.1:{free_port()}", "10.0.0.1:6379", None))
    assert load_cluster(home) is None
    assert not home.cluster.exists()


def test_a_cluster_started_since_is_not_forgotten_for_one_that_ended(tmp_path: Path, head: RayHead) -> None:
    home = Home(tmp_path)
    ended, running = Cluster("http://127.0.0.1:1", "", None), Cluster("http://127.0.0.1:2", "", None, head)
    save_cluster(home, running)
    forget_cluster(home, ended)
    assert load_cluster(home) == running
    forget_cluster(home, running)
    assert not home.cluster.exists()


def test_only_one_process_starts_a_cluster(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    with only_one(home), pytest.raises(ClusterError, match="another `millrace up`"), only_one(home):
        pass
    with only_one(home):
        assert stat.S_IMODE(home.lock.stat().st_mode) == 0o600


def test_a_joined_cluster_that_is_slow_is_not_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[float] = []

    def slow(api: ServeApi, *, timeout_s: float = 2.0) -> bool:
        asked.append(timeout_s)
        return timeout_s >= PATIENCE_S

    monkeypatch.setattr(ServeApi, "answers", slow)
    home = Home(tmp_path)
    save_cluster(home, Cluster("http://127.0.0.1:1", "10.0.0.1:6379", None))
    assert load_cluster(home) is not None
    assert asked == [PATIENCE_S]


def test_nothing_remembered(tmp_path: Path) -> None:
    assert load_cluster(Home(tmp_path)) is None


@pytest.mark.parametrize("record", [b"{", b"\xff", b'{"dashboard_url": 1}'], ids=["cut", "binary", "another shape"])
def test_a_broken_record_says_what_to_do(tmp_path: Path, record: bytes) -> None:
    home = Home(tmp_path)
    home.cluster.write_bytes(record)
    with pytest.raises(ClusterError, match="remove it"):
        load_cluster(home)


def test_processes_are_led_to_this_ray_and_no_other(tmp_path: Path) -> None:
    cluster = Cluster("http://127.0.0.1:1", "10.0.0.1:6379", tmp_path / "token")
    env = cluster.environment({"RAY_ADDRESS": "elsewhere:1", "RAY_AUTH_TOKEN": "other", "PATH": "p"})
    assert env == {"PATH": "p", "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(tmp_path / "token")}
    assert Cluster("http://127.0.0.1:1", "", None).environment({"PATH": "p"}) == {"PATH": "p"}


def test_a_temporary_folder_too_long_for_sockets_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    long = tmp_path / ("x" * 60)
    long.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(long))
    home = Home(tmp_path / "home")
    with pytest.raises(ClusterError, match="TMPDIR"):
        start_cluster(home, {})
    assert list(long.iterdir()) == []
    assert not home.cluster.exists()


def test_a_ray_that_does_not_start_leaves_only_its_log(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    with pytest.raises(ClusterError, match="Ray did not start"):
        start_cluster(home, {"PATH": "", "RAY_START_HOOK": "no.such:hook"})
    assert not home.cluster.exists()
    assert home.ray_log.exists()


def test_a_ray_that_does_not_answer_cannot_be_joined(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serving.cluster.ray_probe.PROBE_S", 3.0)
    with pytest.raises(ClusterError, match=r"did not answer|cannot be asked"):
        join_cluster(f"127.0.0.1:{free_port()}", os.environ)
