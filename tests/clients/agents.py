"""Coding agents: programs with a home and a folder to work in, configured anew for every run. Knows none of them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.clients.asked import LONG
from tests.clients.programs import Ran, run
from tests.cluster.live import LiveCluster

Agent = Callable[..., Ran]
"""Called with arguments of the command line; `model` and `key` say what it is configured with."""


@dataclass(frozen=True, slots=True)
class Given:
    """What an agent is configured with, and the folders it is given. `url`: with `/v1`."""

    home: Path
    work: Path
    url: str
    model: str
    key: str


def agent(
    millrace: LiveCluster, folder: Path, command: Sequence[str], configure: Callable[[Given], Mapping[str, str]]
) -> Agent:
    """Runs `command` in folders below `folder`. `configure`: writes its files, returns its environment."""
    home, work = folder / "home", folder / "work"
    for each in (home, work):
        each.mkdir()

    def execute(*arguments: str, model: str = LONG, key: str = millrace.key) -> Ran:
        env = configure(Given(home, work, f"{millrace.url}/v1", model, key))
        return run([*command, *arguments], home=home, env=env, cwd=work)

    return execute
