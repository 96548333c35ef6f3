"""Engines that die, and engines that never come up."""

import json
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from serving.cluster.start_failure import reason_in
from tests.cluster.live import ENGINES, LiveCluster, ask, catalog_with, engine_application, wait_for

ORPHANS_GONE_WITHIN_S = 15.0
START_ATTEMPTS = 3


def alive(pid: int) -> bool:
    """Does the process run? A zombie does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


@contextmanager
def steady_requests(live: LiveCluster, model: str) -> Iterator[list[int]]:
    """Statuses of requests that are sent to `model` one after another, until the block ends."""
    url, token, statuses, stop = live.engine_url(model), live.token, [], threading.Event()
    body = {"model": model, "messages": [{"role": "user", "content": "1 + 1"}], "max_tokens": 2}

    def send() -> None:
        while not stop.is_set():
            try:
                statuses.append(ask(f"{url}/v1/chat/completions", body=body, token=token).status)
            except OSError:
                statuses.append(0)
            stop.wait(0.1)

    sender = threading.Thread(target=send)
    sender.start()
    try:
        yield statuses
    finally:
        stop.set()
        sender.join()


def test_a_killed_replica_leaves_nothing_behind_and_comes_back(live: LiveCluster) -> None:
    before = live.state("abacus-small")
    assert len(before["pids"]) >= 1
    assert all(alive(pid) for pid in (before["pid"], *before["pids"]))
    with steady_requests(live, "abacus-large") as statuses:
        os.kill(before["pid"], signal.SIGKILL)
        wait_for(
            lambda: not any(alive(pid) for pid in before["pids"]),
            what=f"{before['pids']} to end",
            within_s=ORPHANS_GONE_WITHIN_S,
        )
        wait_for(lambda: live.replaced("abacus-small", before["replica"]), what="another replica")
    assert len(statuses) > 5
    assert set(statuses) == {200}
    assert live.state("abacus-small")["pid"] != before["pid"]
    live.wait_running(["engine-abacus-small"])


def test_a_model_that_cannot_load_says_why_and_is_given_up(live: LiveCluster) -> None:
    broken = live.folder / "broken"
    broken.mkdir()
    (broken / "config.json").write_text(json.dumps({"architectures": ["NoSuchForCausalLM"], "model_type": "no-such"}))
    (broken / "model.safetensors").write_bytes(b"")
    catalog = catalog_with(live, source=broken)
    live.deploy([engine_application("abacus-small", catalog, name="engine-broken")])
    try:
        failed = wait_for(lambda: _given_up(live, "engine-broken"), what="Serve to give up")
        reason = reason_in(failed)
        assert reason.startswith("model abacus-small: ")
        assert "no-such" in reason or "NoSuchForCausalLM" in reason
        assert f"failed to start {START_ATTEMPTS} times" in failed
        assert all(live.application(f"engine-{model}")["status"] == "RUNNING" for model in ENGINES)
    finally:
        live.deploy()


def _given_up(live: LiveCluster, name: str) -> str:
    seen = live.application(name)
    return str(seen["deployments"]["Engine"]["message"]) if seen["status"] == "DEPLOY_FAILED" else ""


def test_a_path_that_vanished_is_named(live: LiveCluster) -> None:
    gone = live.folder / "gone"
    catalog = catalog_with(live, source=gone)
    live.deploy([engine_application("abacus-small", catalog, name="engine-gone")])
    try:
        message = wait_for(
            lambda: (seen := live.application("engine-gone"))["status"] == "DEPLOY_FAILED" and seen["message"],
            what="Serve to refuse the catalogue",
        )
        assert str(gone) in reason_in(message)
    finally:
        live.deploy()
