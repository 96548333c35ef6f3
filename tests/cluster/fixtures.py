"""One real cluster for the whole session: Ray Serve, HAProxy, the gateway, and vLLM with three Abacus models on a CPU.

It has its own home, ports and folder, so it can run beside any other cluster, and ends only what it started. A pytest
plugin of tests/conftest.py, so that every folder of tests shares the one cluster.
"""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from serving.cluster.home import Home
from serving.cluster.lifecycle import start_cluster
from serving.cluster.ports import free_port
from serving.keys import create_key
from tests.cluster.live import ENGINES, LiveCluster, engine_application
from tests.cluster.weights import abacus_weights
from tests.doubles.difficulty import difficulty_file
from tests.doubles.stand_in_process import KEY_ENV, running_stand_in

SETUP_TIMEOUT_S = 600
HERE = Path(__file__).parent
CALLS_TOOLS: Mapping[str, object] = {
    "max-num-seqs": 32,
    "enable-auto-tool-choice": True,
    "tool-call-parser": "pythonic",
    "structured-outputs-config": {"backend": "xgrammar", "disable_any_whitespace": True},
}
"""vLLM options of a small chat model, as in models/catalog.yaml."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whatever uses the cluster needs its mark, and its start counts towards the first test's time."""
    for item in items:
        if HERE in item.path.parents or "live" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.cluster)
            item.add_marker(pytest.mark.timeout(SETUP_TIMEOUT_S))
            # the head outlives its `Popen`: it is ended by pid
            item.add_marker(pytest.mark.filterwarnings("ignore:subprocess .* is still running:ResourceWarning"))


@pytest.fixture(scope="session")
def live() -> Iterator[LiveCluster]:
    """The running cluster, with every engine and the gateway ready."""
    uncounted = {"canary_interval_s": 3600.0}  # so that the tokens an engine counts are those a test asked for
    with running_cluster(_catalog, ENGINES, uncounted) as cluster:
        yield cluster


@contextmanager
def running_cluster(
    catalogue: Callable[[Path, str], Path], engines: Sequence[str], settings: Mapping[str, object] | None = None
) -> Iterator[LiveCluster]:
    """A cluster of its own. `catalogue`: writes the file, given a folder and the base URL of the stand-in.

    `settings`: of the gateway, beside its home.
    """
    folder = Path(tempfile.mkdtemp(prefix="mrt-"))  # short: HAProxy's sockets live below it
    home = Home(folder / "home")
    try:
        with running_stand_in(folder) as stand_in:
            cluster = start_cluster(home, {**os.environ, KEY_ENV: stand_in.key})
            try:
                catalog = catalogue(folder, stand_in.base_url)
                difficulty = difficulty_file(folder, {"small": 0.9, "large": 0.95})
                given = {"home": str(home.path), "difficulty_file": str(difficulty), **(settings or {})}
                live = LiveCluster(
                    cluster=cluster,
                    stand_in=stand_in,
                    folder=folder,
                    catalog=catalog,
                    port=free_port(),
                    key=create_key(home.keys, "tests"),
                    base=_applications(catalog, given, engines),
                )
                live.deploy()
                live.wait_running([str(application["name"]) for application in live.base])
                yield live
            finally:
                cluster.kill()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _applications(catalog: Path, settings: Mapping[str, object], engines: Sequence[str]) -> list[dict[str, object]]:
    gateway = {
        "name": "gateway",
        "route_prefix": "/",
        "import_path": "serving.app:gateway",
        "args": {"catalog": str(catalog), "settings": dict(settings)},
        "deployments": [{"name": "Gateway", "num_replicas": 2, "ray_actor_options": {"num_cpus": 0.05}}],
    }
    probe = {"name": "probe", "route_prefix": "/probe", "import_path": "tests.cluster.probe:app", "args": {}}
    return [gateway, probe, *(engine_application(model, catalog) for model in engines)]


def _catalog(folder: Path, hosted_url: str) -> Path:
    """Both Abacus models, the larger one's embeddings, and the stand-in as the hosted tier."""
    weights = abacus_weights(folder)
    chat = ["chat", "completions", "responses", "messages", "tokenize", "tools", "json", "logprobs"]
    embed = ["embeddings", "rerank", "score", "tokenize"]
    models = [
        engine_entry("abacus-small", "small", weights / "abacus-small", chat),
        engine_entry("abacus-large", "large", weights / "abacus-large", chat),
        engine_entry("abacus-embed", "embed", weights / "abacus-large", embed, {"max-num-seqs": 32})
        | {"task": "embed"},
        hosted_entry(hosted_url),
    ]
    path = folder / "catalog.yaml"
    path.write_text(yaml.safe_dump({"ladder": ["small", "large", "hosted"], "models": models}))
    return path


def hosted_entry(base_url: str) -> dict[str, object]:
    """The stand-in as a hosted API."""
    return {
        "name": "stand-in",
        "tier": "hosted",
        "context_length": 32768,
        "capabilities": ["chat", "completions", "responses", "messages"],
        "price": {"usd_per_million_input_tokens": 2.5, "usd_per_million_output_tokens": 10.0},
        "leaves_premises": True,
        "hosted": {"base_url": base_url, "model": "stand-in-1", "key_env": KEY_ENV, "stand_in": True},
    }


def engine_entry(
    name: str, tier: str, weights: Path, capabilities: list[str], args: Mapping[str, object] = CALLS_TOOLS
) -> dict[str, object]:
    """One engine of a catalogue; `weights`: a folder."""
    return {
        "name": name,
        "tier": tier,
        "context_length": 1024,
        "capabilities": capabilities,
        "price": {"usd_per_gpu_second": 0.00001},
        "engine": {"path": str(weights), "resources": {"num_cpus": 0.2}, "args": dict(args)},
    }
