"""What the demo plays on: a cluster of its own started by `millrace up`, and a stand-in for a hosted API beside it.

Drives the command line as a user would and imports nothing of `serving`. Whatever happens in between, both are stopped
on the way out. The shipped configuration is used, less the models outside the ladder, with the stand-in's address.
"""

import contextlib
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console

ROOT = Path(__file__).resolve().parents[2]
CATALOG = ROOT / "models" / "catalog.yaml"
SERVE_CONFIG = ROOT / "serve_config.yaml"
STAND_IN_KEY = "MILLRACE_STAND_IN_KEY"
STAND_IN_START_S = 30.0


class StageError(Exception):
    """The cluster or the stand-in did not start; the message says which."""


@dataclass(frozen=True, slots=True)
class Stage:
    """A running cluster. `key`: an API key for it."""

    url: str
    key: str
    home: Path
    environment: Mapping[str, str]

    def status(self) -> dict[str, Any]:
        """What `millrace status --json` prints."""
        done = _millrace(["status", "--json"], self.environment, capture=True)
        status: dict[str, Any] = json.loads(done.stdout)
        return status

    def replica(self, model: str) -> dict[str, Any] | None:
        """The first running replica of `model`, None when there is none."""
        rows = {row["name"]: row for row in self.status()["models"]}
        live = [replica for replica in rows[model]["replicas"] if replica["state"] == "RUNNING"]
        return live[0] if live else None


@contextlib.contextmanager
def staged(folder: Path, console: Console) -> Iterator[Stage]:
    """Start both, yield the cluster, stop both. Raises `StageError`."""
    home = folder / "home"
    environment = {**os.environ, "MILLRACE_HOME": str(home), STAND_IN_KEY: secrets.token_urlsafe(16)}
    _millrace(["down"], environment)
    shutil.rmtree(folder, ignore_errors=True)
    home.mkdir(parents=True, mode=0o700)
    port = _free_port()
    with _stand_in(folder, environment) as stand_in_url:
        console.print(f"A stand-in for a hosted API (no real one) listens at {stand_in_url}.", highlight=False)
        config = write_config(folder, stand_in_url)
        arguments = ["up", "--config", str(config), "--port", str(port), "--address", "none", "--detach"]
        try:
            if _millrace(arguments, environment).returncode != 0:
                raise StageError("`millrace up` failed; its messages stand above")
            yield Stage(f"http://127.0.0.1:{port}", (home / "key").read_text().strip(), home, environment)
        finally:
            _millrace(["down"], environment)


def model_of_tier(tier: str) -> str:
    """The name of the shipped catalogue's first model in `tier`."""
    catalog = yaml.safe_load(CATALOG.read_text())
    return next(str(model["name"]) for model in catalog["models"] if model["tier"] == tier)


@contextlib.contextmanager
def _stand_in(folder: Path, environment: Mapping[str, str]) -> Iterator[str]:
    """The stand-in as a process of its own; the URL to put into the catalogue."""
    port_file = folder / "stand-in.port"
    command = [sys.executable, "-m", "tests.doubles.hosted_api", "--port", "0", "--key-env", STAND_IN_KEY]
    process = subprocess.Popen(
        [*command, "--port-file", str(port_file)], cwd=ROOT, env=dict(environment), stdout=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + STAND_IN_START_S
        while not port_file.exists():
            if process.poll() is not None or time.monotonic() > deadline:
                raise StageError("the stand-in did not start")
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port_file.read_text().strip()}/v1"
    finally:
        process.terminate()
        process.wait(10)


def write_config(folder: Path, stand_in_url: str) -> Path:
    """The shipped catalogue and Serve config, made ready for this stage; the path of the latter."""
    catalog = yaml.safe_load(CATALOG.read_text())
    catalog["models"] = [model for model in catalog["models"] if model["tier"] in catalog["ladder"]]
    for model in catalog["models"]:
        if "engine" in model:
            model["engine"]["path"] = str(CATALOG.parent / model["engine"]["path"])
        elif model["hosted"].get("stand_in"):
            model["hosted"]["base_url"] = stand_in_url
    serve = yaml.safe_load(SERVE_CONFIG.read_text())
    kept = {model["name"] for model in catalog["models"]}
    serve["applications"] = [app for app in serve["applications"] if app["args"].get("model", None) in {None, *kept}]
    for application in serve["applications"]:
        application["args"]["catalog"] = str(folder / "catalog.yaml")
    (folder / "catalog.yaml").write_text(yaml.safe_dump(catalog, sort_keys=False))
    config = folder / "serve_config.yaml"
    config.write_text(yaml.safe_dump(serve, sort_keys=False))
    return config


def _millrace(
    arguments: list[str], environment: Mapping[str, str], *, capture: bool = False
) -> subprocess.CompletedProcess[str]:
    """Run the command line; its output goes where ours goes, unless captured (then a failure raises)."""
    command = [sys.executable, "-m", "serving.cli", *arguments]
    return subprocess.run(
        command, cwd=ROOT, env=dict(environment), stdout=subprocess.PIPE if capture else None, text=True, check=capture
    )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
