"""Client programs that are not in .venv: installed under build/clients from their lock files, and run from there.

    python -m tests.clients.programs        installs them, or says what is missing (exit 2)

They run with a home of their own and hardly any environment: nothing of this machine's settings reaches them.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
BUILD = HERE.parents[1] / "build" / "clients"
NODE = BUILD / "node"
VENV = BUILD / "venv"
DRIVERS = HERE / "drivers"
RUN_TIMEOUT_S = 120.0
LEAST_NODE = 20
QUIET = {
    "DO_NOT_TRACK": "1",
    "OPENCODE_DISABLE_AUTOUPDATE": "1",
    "OPENCODE_DISABLE_MODELS_FETCH": "1",
    "OPENCODE_DISABLE_LSP_DOWNLOAD": "1",
    "OPENCODE_DISABLE_DEFAULT_PLUGINS": "1",
    "LANGSMITH_TRACING": "false",
}
"""Telemetry, update checks and downloads off."""


class Missing(Exception):
    """Something the suite needs is not on this machine."""


@dataclass(frozen=True, slots=True)
class Ran:
    """A program that ended."""

    status: int
    out: str
    err: str

    def json(self) -> Any:
        """The last line as JSON. Raises `AssertionError` with everything said when the program failed."""
        assert self.status == 0, f"exit {self.status}\n{self.out}\n{self.err}"
        return json.loads(self.out.strip().splitlines()[-1])

    def events(self) -> list[Any]:
        """Every line that is a JSON object."""
        return [json.loads(line) for line in self.out.splitlines() if line.startswith("{")]


def run(command: Sequence[str], *, home: Path, env: Mapping[str, str], cwd: Path | None = None) -> Ran:
    """Run a program to its end in `cwd`, by default its home."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(home), "TMPDIR": str(home), **QUIET, **env}
    done = subprocess.run(
        command, env=environment, cwd=cwd or home, capture_output=True, text=True, timeout=RUN_TIMEOUT_S, check=False,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    return Ran(done.returncode, done.stdout, done.stderr)


def node_program(name: str) -> list[str]:
    """The command of a program from npm."""
    return [str(NODE / "node_modules" / name)]


def install_node() -> None:
    """Install what package-lock.json says, once; drivers are copied beside it, where they find their packages."""
    _node_is_here()
    NODE.mkdir(parents=True, exist_ok=True)
    for driver in DRIVERS.glob("*.mjs"):
        shutil.copy(driver, NODE)
    wanted = [HERE / "node" / name for name in ("package.json", "package-lock.json")]
    if _is_done(NODE, wanted):
        return
    for file in wanted:
        shutil.copy(file, NODE)
    _install(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"], NODE)
    _done(NODE, wanted)


def install_venv() -> None:
    """Build the virtual environment of requirements.txt, once."""
    wanted = [HERE / "requirements.txt"]
    if _is_done(VENV, wanted):
        return
    shutil.rmtree(VENV, ignore_errors=True)
    _install([sys.executable, "-m", "venv", str(VENV)], BUILD)
    _install([str(VENV / "bin" / "pip"), "install", "--quiet", "--no-deps", "-r", str(wanted[0])], BUILD)
    _done(VENV, wanted)


def _node_is_here() -> None:
    if not shutil.which("node") or not shutil.which("npm"):
        raise Missing(f"node and npm are needed for the clients from npm; install Node {LEAST_NODE} or newer")
    said = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout
    if int(said.lstrip("v").partition(".")[0]) < LEAST_NODE:
        raise Missing(f"node is {said.strip()}, and the clients need {LEAST_NODE} or newer")


def _install(command: Sequence[str], folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Missing(f"`{' '.join(command)}` failed in {folder}:\n{done.stdout}{done.stderr}")


def _digest(wanted: Sequence[Path]) -> str:
    return hashlib.sha256(b"".join(file.read_bytes() for file in wanted)).hexdigest()


def _is_done(folder: Path, wanted: Sequence[Path]) -> bool:
    stamp = folder / ".installed"
    return stamp.is_file() and stamp.read_text() == _digest(wanted)


def _done(folder: Path, wanted: Sequence[Path]) -> None:
    (folder / ".installed").write_text(_digest(wanted))


if __name__ == "__main__":
    try:
        BUILD.mkdir(parents=True, exist_ok=True)
        install_node()
        install_venv()
    except Missing as missing:
        sys.stderr.write(f"make clients: {missing}\n")
        sys.exit(2)
