"""Real processes to kill, stop and start again: stand-ins that play engines or hosted APIs, and lone gateways.

Each is ended by its own process id. Knows nothing of scenarios; the gateway is `python -m serving.standalone`.
"""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from serving.cluster.ports import free_port
from serving.keys import create_key
from serving.replica.internal_token import metrics_token
from tests.cluster.live import ask, wait_for
from tests.doubles.difficulty import difficulty_file
from tests.doubles.stand_in_process import DEADLINE_S, KEY, KEY_ENV, StandInProcess

ROOT = Path(__file__).parents[2]
HOSTED_KEY_ENV = "HOSTED_KEY"


@dataclass(slots=True)
class Engine:
    """A stand-in on a port of its own, that it comes back on."""

    port: int
    options: Sequence[str] = ()
    _process: subprocess.Popen[bytes] | None = None
    starts: int = 0

    @property
    def url(self) -> str:
        """Without `/v1`."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def stand_in(self) -> StandInProcess:
        """To script it and to read its counts."""
        return StandInProcess(self.url, KEY, self.pid)

    @property
    def pid(self) -> int:
        """Of the running process."""
        assert self._process is not None
        return self._process.pid

    def start(self, *, wait: bool = True) -> None:
        """Start it (again)."""
        command = [sys.executable, "-m", "tests.doubles.hosted_api", "--port", str(self.port), "--key-env", KEY_ENV]
        env = os.environ | {KEY_ENV: KEY}
        self._process = subprocess.Popen(
            [*command, *self.options], env=env, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self.starts += 1
        if wait:
            wait_for(lambda: listens(self.port), what=f"a stand-in on port {self.port}", within_s=DEADLINE_S)

    def send(self, number: signal.Signals) -> None:
        """Signal it."""
        os.kill(self.pid, number)

    def kill(self) -> None:
        """kill -9, and collect it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(DEADLINE_S)

    def ended(self) -> bool:
        """Has it ended by itself?"""
        return self._process is not None and self._process.poll() is not None


@contextmanager
def engines(count: int, *, options: Sequence[str] = ()) -> Iterator[list[Engine]]:
    """Running stand-ins."""
    started = [Engine(port, options) for port in free_ports(count)]
    try:
        for engine in started:
            engine.start(wait=False)
        for engine in started:
            wait_for(lambda port=engine.port: listens(port), what="a stand-in", within_s=DEADLINE_S)  # type: ignore[misc]
        yield started
    finally:
        for engine in started:
            engine.kill()


def free_ports(count: int) -> list[int]:
    """Ports of this machine that nobody had a moment ago, all different."""
    found: set[int] = set()
    while len(found) < count:
        found.add(free_port())
    return list(found)


def listens(port: int) -> bool:
    """Is anybody there?"""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1.0):
        return True
    return False


@dataclass(frozen=True, slots=True)
class LoneGateway:
    """A running `python -m serving.standalone`, and the file of its log lines."""

    url: str
    key: str
    pid: int
    log: Path

    def lines(self) -> list[dict[str, Any]]:
        """Its canonical log lines so far, one for each request it settled."""
        written, _, _ = self.log.read_text().rpartition("\n")  # the last line may be half there
        parsed = (json.loads(line) for line in written.splitlines() if line.startswith("{"))
        return [line for line in parsed if line.get("event") == "request"]

    def metric(self, name: str, **labels: str) -> float:
        """The sum of a metric over all its labels but `labels`."""
        page = ask(f"{self.url}/metrics", token=metrics_token(KEY)).body.decode()
        wanted = [f'{label}="{value}"' for label, value in labels.items()]
        samples = [line for line in page.splitlines() if line.partition("{")[0].partition(" ")[0] == name]
        return sum(float(line.rpartition(" ")[2]) for line in samples if all(label in line for label in wanted))

    def resident_bytes(self, what: str = "VmRSS") -> int:
        """Memory it holds; `VmHWM`: the most it ever held."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(next(line for line in status.splitlines() if line.startswith(what)).split()[1]) * 1024


@dataclass(frozen=True, slots=True)
class Behind:
    """What a gateway stands in front of: the catalogue's models and the replicas of those that are engines."""

    models: Sequence[Mapping[str, Any]]
    replicas: Mapping[str, Sequence[str]] = field(default_factory=dict)
    ladder: Sequence[str] = ("small", "large")


@contextmanager
def lone_gateway(folder: Path, behind: Behind, *, token: str = KEY, **settings: object) -> Iterator[LoneGateway]:
    """A gateway process that listens; `settings` join those of the tests. Its log stays in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    catalog = folder / "catalog.json"
    catalog.write_text(json.dumps({"ladder": list(behind.ladder), "models": list(behind.models)}))
    scores = difficulty_file(folder, dict.fromkeys(behind.ladder, 0.9))
    given = {"home": folder, "difficulty_file": scores} | BRIEF | settings
    (port,) = free_ports(1)
    command = [sys.executable, "-m", "serving.standalone", "--catalog", str(catalog), "--port", str(port)]
    command += [f"--replica={model}={url}" for model, urls in behind.replicas.items() for url in urls]
    key = create_key(folder / "keys.json", "acme")
    env = os.environ | {"MILLRACE_INTERNAL_TOKEN": token, HOSTED_KEY_ENV: KEY}
    env |= {f"MILLRACE_{name.upper()}": str(value) for name, value in given.items()}
    with (folder / "gateway.log").open("ab") as log:
        process = subprocess.Popen(command, env=env, cwd=ROOT, stdout=log, stderr=log)
        try:
            gateway = LoneGateway(f"http://127.0.0.1:{port}", key, process.pid, folder / "gateway.log")
            wait_for(lambda: listens(port) or process.poll() is not None, what="the gateway", within_s=60.0)
            assert process.poll() is None, gateway.log.read_text()
            yield gateway
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(DEADLINE_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(DEADLINE_S)


CHAT = ("chat", "completions", "responses", "messages")
QUICK = {"connect_s": 1.0, "first_token_s": 1.0, "idle_s": 1.0, "total_s": 2.0}
"""Timeouts that a test can wait for, seconds."""
TOOLS = {"enable-auto-tool-choice": True, "tool-call-parser": "hermes"}
BRIEF = {"probe_interval_s": 0.1, "drain_notice_s": 0.0, "drain_timeout_s": 2.0}
"""Settings that a test can wait for."""


def engine_model(name: str, tier: str, **timeouts: float) -> dict[str, Any]:
    """A catalogue entry whose engines are given by URL."""
    return {
        "name": name,
        "tier": tier,
        "context_length": 4096,
        "capabilities": [*CHAT, "json", "tools"],
        "price": {"usd_per_gpu_second": 0.001},
        "timeouts": QUICK | timeouts,
        "engine": {"huggingface": "nobody/nothing", "revision": "none", "args": TOOLS},
    }


def hosted_model(name: str, tier: str, base_url: str, **timeouts: float) -> dict[str, Any]:
    """A catalogue entry of a hosted API."""
    return {
        "name": name,
        "tier": tier,
        "context_length": 4096,
        "capabilities": [*CHAT, "json", "tools"],
        "price": {"usd_per_million_input_tokens": 1.0, "usd_per_million_output_tokens": 2.0},
        "leaves_premises": True,
        "timeouts": QUICK | timeouts,
        "hosted": {
            "base_url": f"{base_url}/v1",
            "model": "stand-in-1",
            "key_env": HOSTED_KEY_ENV,
            "stand_in": True,
            "allow_plain_http": True,
        },
    }
