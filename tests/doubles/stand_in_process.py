"""Starts the stand-in as a process of its own, for tests; ends it, and only it, on the way out."""

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

KEY_ENV = "STAND_IN_KEY"
KEY = "stand-in-key"
DEADLINE_S = 20.0


@dataclass(frozen=True, slots=True)
class StandInProcess:
    """A running stand-in; `url` has no `/v1`."""

    url: str
    key: str
    pid: int

    @property
    def base_url(self) -> str:
        """What a catalogue calls `base_url`."""
        return f"{self.url}/v1"

    def script(self, *following: dict[str, Any], default: dict[str, Any] | None = None) -> None:
        """Set what the next requests get, one script each, and what all others get."""
        order: dict[str, Any] = {"next": list(following)}
        self._control("/control/script", order if default is None else order | {"default": default})

    def reset(self) -> None:
        """Forget scripts and counts."""
        self._control("/control/reset", {})

    def state(self) -> dict[str, Any]:
        """Counts so far, see `hosted_api.Counts`, and the `last` request."""
        state: dict[str, Any] = self._shown("state")
        return state

    def requests(self) -> list[tuple[str, float]]:
        """The id of every request so far, and when it came, in seconds since the epoch."""
        return [(str(request_id), float(at)) for request_id, at in self._shown("requests")]

    def _shown(self, what: str) -> Any:
        with urllib.request.urlopen(f"{self.url}/control/{what}", timeout=DEADLINE_S) as answer:
            return json.load(answer)

    def _control(self, path: str, body: dict[str, Any]) -> None:
        request = urllib.request.Request(f"{self.url}{path}", data=json.dumps(body).encode(), method="POST")
        with urllib.request.urlopen(request, timeout=DEADLINE_S) as answer:
            answer.read()


@contextmanager
def running_stand_in(folder: Path, *, scheme: str = "http", options: Sequence[str] = ()) -> Iterator[StandInProcess]:
    """A stand-in on a free port; `folder` takes its port file, `options` are further command-line flags."""
    port_file = folder / f"stand-in-{time.monotonic_ns()}.port"
    command = [sys.executable, "-m", "tests.doubles.hosted_api", "--port", "0", "--key-env", KEY_ENV]
    process = subprocess.Popen(
        [*command, "--port-file", str(port_file), *options],
        env=os.environ | {KEY_ENV: KEY},
        cwd=Path(__file__).parents[2],
        stdout=subprocess.DEVNULL,
    )
    try:
        until(lambda: port_file.exists() or process.poll() is not None, "the stand-in listens")
        yield StandInProcess(f"{scheme}://127.0.0.1:{port_file.read_text().strip()}", KEY, process.pid)
    finally:
        process.terminate()
        process.wait(DEADLINE_S)


def until(condition: Callable[[], bool], what: str, deadline_s: float = DEADLINE_S) -> None:
    """Poll `condition`; raise TimeoutError naming `what` when it does not come true in time."""
    end = time.monotonic() + deadline_s
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"not within {deadline_s} s: {what}")
        time.sleep(0.01)
