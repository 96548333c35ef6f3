"""What is measured: three servers, each a process of its own on a free port of this machine.

Knows the gateway only by its command line, as an operator does. Ends what it started, and nothing else.
"""

import os
import secrets
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

CATALOG = Path(__file__).parent / "catalog.yaml"
START_S = 60.0
_MAKE_KEY = (
    "import pathlib, sys; from serving.keys import create_key; print(create_key(pathlib.Path(sys.argv[1]), 'bench'))"
)


@dataclass(frozen=True, slots=True)
class Arm:
    """A server under load."""

    name: str
    port: int
    pid: int
    headers: Mapping[str, str] = field(default_factory=dict)

    def cpu_s(self) -> float:
        """Processor time it has used so far, seconds (Linux only; 0 elsewhere)."""
        stat = Path(f"/proc/{self.pid}/stat")
        if not stat.exists():
            return 0.0
        fields = stat.read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def running_arms(folder: Path) -> Iterator[dict[str, Arm]]:
    """The fake upstream, the bare relay and the gateway, all listening. `folder` takes logs and the gateway's key."""
    upstream, bare, gateway = _free_ports(3)
    url = f"http://127.0.0.1:{upstream}"
    key = _new_key(folder)
    settings = ["--setting", f"home={folder}", "--catalog", str(CATALOG), "--replica", f"fake={url}"]
    with ExitStack() as stack:
        arms = [
            stack.enter_context(_running("upstream", upstream, ["benchmarks.relay.upstream", str(upstream)], folder)),
            stack.enter_context(_running("relay", bare, ["benchmarks.relay.bare", str(bare), url], folder)),
            stack.enter_context(
                _running(
                    "gateway",
                    gateway,
                    ["serving.standalone", "--port", str(gateway), *settings],
                    folder,
                    headers={"authorization": f"Bearer {key}"},
                )
            ),
        ]
        _until_ready(gateway)
        yield {arm.name: arm for arm in arms}


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]


def _new_key(folder: Path) -> str:
    made = subprocess.run(
        [sys.executable, "-c", _MAKE_KEY, str(folder / "keys.json")], check=True, capture_output=True, text=True
    )
    return made.stdout.strip()


@contextmanager
def _running(
    name: str, port: int, module: Sequence[str], folder: Path, *, headers: Mapping[str, str] | None = None
) -> Iterator[Arm]:
    log = folder / f"{name}.log"
    env = os.environ | {"MILLRACE_INTERNAL_TOKEN": secrets.token_urlsafe(32)}
    with log.open("wb") as out:
        process = subprocess.Popen([sys.executable, "-m", *module], stdout=out, stderr=subprocess.STDOUT, env=env)
        try:
            _until_listening(port, process, log)
            yield Arm(name, port, process.pid, headers or {})
        finally:
            process.terminate()
            process.wait()


def _until_listening(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"it ended with {process.returncode} at start:\n{log.read_text()}")
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.05)
    raise TimeoutError(f"nothing listens on port {port} after {START_S:.0f} s; its log is {log}")


def _until_ready(port: int) -> None:
    deadline = time.monotonic() + START_S
    while True:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/ready", timeout=5).close()
            return
        except urllib.error.HTTPError as error:
            if time.monotonic() > deadline:
                raise TimeoutError(f"the gateway is not ready: {error.read().decode()}") from error
            time.sleep(0.1)
