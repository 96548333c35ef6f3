"""Runs one scenario of a driver script against the live cluster and gives back what it printed. Knows no assertions."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.clients.asked import ADD, EMBED, HOSTED, MESSAGES, PICK, QUESTION, SMALL, VERDICT, chat_tools, response_tools
from tests.clients.programs import DRIVERS, NODE, VENV, run
from tests.cluster.live import LiveCluster

Drive = Callable[..., Any]
GIVEN = {
    "small": SMALL,
    "embed": EMBED,
    "hosted": HOSTED,
    "question": QUESTION,
    "messages": MESSAGES,
    "add": ADD,
    "pick": PICK,
    "verdict": VERDICT,
    "chat_tools": chat_tools(),
    "response_tools": response_tools(),
    "named": {"type": "function", "function": {"name": "add"}},
}


def node_driver(script: str, millrace: LiveCluster, home: Path) -> Drive:
    """Scenarios of a script that runs on Node."""
    return _driver(["node", str(NODE / script)], millrace, home)


def venv_driver(script: str, millrace: LiveCluster, home: Path) -> Drive:
    """Scenarios of a Python script in the suite's own virtual environment."""
    return _driver([str(VENV / "bin" / "python"), str(DRIVERS / script)], millrace, home)


def _driver(command: list[str], millrace: LiveCluster, home: Path) -> Drive:
    def drive(scenario: str, **given: Any) -> Any:
        env = {"MILLRACE_URL": millrace.url, "MILLRACE_KEY": millrace.key, "GIVEN": json.dumps(GIVEN | given)}
        return run([*command, scenario], home=home, env=env).json()

    return drive
