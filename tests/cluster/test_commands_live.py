"""`millrace up`, `status`, `chat`, `scrape-config` and `down` on a real Ray: they start it, join it, end only theirs.

The clusters here have a gateway and a stand-in but no engines of their own, so that they start in seconds; the one
engine there is cannot load its model.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from serving.cluster.home import Home
from serving.cluster.lifecycle import Cluster, forget_cluster, load_cluster, start_cluster
from serving.cluster.ports import free_port
from tests.cluster.live import wait_for
from tests.doubles.difficulty import difficulty_file
from tests.doubles.stand_in_process import KEY_ENV, StandInProcess, running_stand_in

STAND_IN = {
    "name": "stand-in",
    "tier": "hosted",
    "context_length": 32768,
    "capabilities": ["chat", "completions"],
    "price": {"usd_per_million_input_tokens": 2.5, "usd_per_million_output_tokens": 10.0},
    "leaves_premises": True,
}
BROKEN = {
    "name": "broken",
    "tier": "small",
    "context_length": 512,
    "capabilities": ["chat"],
    "price": {"usd_per_gpu_second": 0.1},
    "engine": {"path": "weights", "resources": {"num_cpus": 0.1}},
}


@dataclass(frozen=True, slots=True)
class Place:
    """A folder with a config, a home in it, and the environment commands run in."""

    folder: Path
    environment: Mapping[str, str]
    port: int

    @property
    def home(self) -> Home:
        return Home(self.folder / "home")

    @property
    def up(self) -> list[str]:
        return [*MILLRACE, "up", "--config", str(self.folder / "serve_config.yaml"), "--port", str(self.port)]

    def run(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        command = [*MILLRACE, *arguments]
        return subprocess.run(command, env=dict(self.environment), capture_output=True, text=True, timeout=400)

    def up_detached(self, *options: str) -> "subprocess.CompletedProcess[str]":
        command = [*self.up, "--detach", *options]
        return subprocess.run(command, env=dict(self.environment), capture_output=True, text=True, timeout=400)


MILLRACE = [sys.executable, "-m", "serving.cli"]


@pytest.fixture(scope="module")
def stand_in(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandInProcess]:
    with running_stand_in(tmp_path_factory.mktemp("stand-in")) as running:
        yield running


@pytest.fixture
def place(tmp_path: Path, stand_in: StandInProcess) -> Iterator[Place]:
    """Whatever a test leaves running there is ended."""
    ready = prepared(tmp_path, stand_in, [])
    yield ready
    left = load_cluster(ready.home)
    if left is not None:
        left.kill()


def prepared(folder: Path, stand_in: StandInProcess, engines: Sequence[Mapping[str, object]]) -> Place:
    """Write catalogue and config: the stand-in and `engines`."""
    hosted = {"base_url": stand_in.base_url, "model": "stand-in-1", "key_env": KEY_ENV, "stand_in": True}
    ladder = [*(str(engine["tier"]) for engine in engines), "hosted"]
    models = [*engines, {**STAND_IN, "hosted": hosted}]
    (folder / "catalog.yaml").write_text(yaml.safe_dump({"ladder": ladder, "models": models}))
    settings = {"difficulty_file": str(difficulty_file(folder, {"hosted": 0.9}))}
    gateway = {
        "name": "gateway",
        "route_prefix": "/",
        "import_path": "serving.app:gateway",
        "args": {"catalog": "catalog.yaml", "settings": settings},
        "deployments": [{"name": "Gateway", "num_replicas": 2, "ray_actor_options": {"num_cpus": 0.05}}],
    }
    private = [
        {
            "name": f"engine-{engine['name']}",
            "route_prefix": None,
            "import_path": "serving.app:engine",
            "args": {"catalog": "catalog.yaml", "model": engine["name"]},
        }
        for engine in engines
    ]
    serve = {"http_options": {"host": "127.0.0.1", "port": 8000}, "applications": [gateway, *private]}
    (folder / "serve_config.yaml").write_text(yaml.safe_dump(serve))
    environment = {
        **os.environ,
        "MILLRACE_HOME": str(folder / "home"),
        "RAY_ADDRESS": "none",
        KEY_ENV: stand_in.key,
        "COLUMNS": "200",
    }
    return Place(folder, environment, free_port())


def gone(cluster: Cluster) -> bool:
    """Is nothing left of it, neither processes nor files?"""
    assert cluster.head is not None
    assert cluster.temp_dir is not None
    return cluster.head.members() == [] and not cluster.temp_dir.exists()


def running(home: Home) -> Cluster:
    cluster = load_cluster(home)
    assert cluster is not None
    return cluster


def test_up_detached_serves_until_down(place: Place) -> None:
    started = place.up_detached()
    assert started.returncode == 0, started.stdout + started.stderr
    key = (place.home.path / "key").read_text().strip()
    assert f"Ready: http://127.0.0.1:{place.port}" in started.stdout
    assert f"Key: {key}" in started.stdout
    cluster = running(place.home)

    said = place.run("chat", "Sort 4 2 3.")
    assert said.returncode == 0, said.stderr
    assert said.stdout.startswith("2 3 4\n[stand-in (hosted, a stand-in), attempts 1, ")

    status = json.loads(place.run("status", "--json").stdout)
    assert (status["ready"], status["missing"], status["models"]) == (True, [], [])
    assert status["gateway"]["live"] == 2

    written = Path(place.run("scrape-config").stdout.strip())
    token = place.home.metrics_token.read_text()
    assert token not in written.read_text()
    request = urllib.request.Request(
        f"{cluster.gateway_url}/metrics/targets", headers={"authorization": f"Bearer {token}"}
    )
    with urllib.request.urlopen(request, timeout=20) as answer:
        assert {target["labels"]["role"] for target in json.load(answer)} == {"gateway"}

    again = place.up_detached()
    assert again.returncode == 0, again.stdout + again.stderr
    assert key not in again.stdout
    assert running(place.home).head == cluster.head

    stopped = place.run("down")
    assert stopped.returncode == 0, stopped.stderr
    assert gone(cluster)
    assert not place.home.cluster.exists()


def _hear_ctrl_c() -> None:
    """A suite that a shell runs in the background inherits SIGINT ignored, and so would what it starts."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_ctrl_c_stops_all_that_was_started(place: Place) -> None:
    with subprocess.Popen(
        place.up, env=dict(place.environment), stdout=subprocess.PIPE, text=True, preexec_fn=_hear_ctrl_c
    ) as process:
        assert process.stdout is not None
        lines = iter(process.stdout.readline, "")
        assert any(line.startswith("Ready: ") for line in lines)
        cluster = running(place.home)
        process.send_signal(signal.SIGINT)
        rest = "".join(lines)
        assert process.wait(200) == 0
    assert "Stopped." in rest
    assert gone(cluster)
    assert not place.home.cluster.exists()


def test_ctrl_c_while_it_starts_leaves_nothing(place: Place) -> None:
    with subprocess.Popen(
        place.up, env=dict(place.environment), stdout=subprocess.DEVNULL, preexec_fn=_hear_ctrl_c
    ) as process:
        wait_for(place.home.cluster.exists, what="Ray to be started")
        cluster = running(place.home)
        process.send_signal(signal.SIGINT)
        assert process.wait(200) != 0
    assert gone(cluster)
    assert not place.home.cluster.exists()


def test_a_ray_that_was_joined_keeps_running(place: Place) -> None:
    theirs = start_cluster(place.home, place.environment)
    forget_cluster(place.home, theirs)  # from here on it is somebody else's
    try:
        environment = {**theirs.environment(place.environment), "RAY_ADDRESS": theirs.gcs_address}
        joining = Place(place.folder, environment, place.port)
        started = joining.up_detached()
        assert started.returncode == 0, started.stdout + started.stderr
        assert running(place.home).head is None
        assert joining.run("chat", "Sort 4 2 3.").stdout.startswith("2 3 4\n")
        stopped = joining.run("down")
        assert stopped.returncode == 0, stopped.stderr
        assert theirs.alive()
        assert theirs.api.details()["applications"] == {}
    finally:
        theirs.kill()


def test_a_model_that_cannot_load_is_named_and_the_others_serve(tmp_path: Path, stand_in: StandInProcess) -> None:
    weights = tmp_path / "weights"
    weights.mkdir()
    (weights / "config.json").write_text(json.dumps({"architectures": ["NoSuchModel"], "model_type": "llama"}))
    (weights / "model.safetensors").write_bytes(b"nothing")
    place = prepared(tmp_path, stand_in, [BROKEN])
    try:
        started = place.up_detached()
        assert started.returncode == 1, started.stdout + started.stderr
        assert "broken: " in started.stderr
        status = json.loads(place.run("status", "--json").stdout)
        (model,) = status["models"]
        assert model["name"] == "broken"
        assert model["status"] == "DEPLOY_FAILED"
        assert model["error"]
        assert place.run("chat", "Sort 4 2 3.").stdout.startswith("2 3 4\n")
    finally:
        with contextlib.suppress(FileNotFoundError):
            running(place.home).kill()
