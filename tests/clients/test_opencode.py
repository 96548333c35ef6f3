"""opencode (`opencode run`) against the live cluster: chat streams with long tool lists, and a title on the side."""

import json
import platform
from pathlib import Path
from typing import Any

import pytest

from tests.clients.agents import Agent, Given, agent
from tests.clients.asked import HOSTED, QUESTION
from tests.clients.catalogue import LONG_CONTEXT
from tests.clients.matrix import matrix_column
from tests.clients.programs import node_program
from tests.cluster.live import LiveCluster
from tests.figures import Figure

pytestmark = pytest.mark.usefixtures("node")
PLATFORM = f"{platform.system().lower()}-{'arm64' if platform.machine() in ('arm64', 'aarch64') else 'x64'}"
covers = matrix_column("opencode")


@pytest.fixture
def opencode(millrace: LiveCluster, tmp_path: Path) -> Agent:
    (program,) = node_program(f"opencode-{PLATFORM}/bin/opencode")
    return agent(millrace, tmp_path, [program, "run", "--format", "json"], configure)


def configure(given: Given) -> dict[str, str]:
    """Its one file; of the environment it needs nothing."""
    (given.work / "opencode.json").write_text(json.dumps(config(given.model, given.url, given.key)))
    return {}


def config(model: str, url: str, key: str) -> dict[str, Any]:
    """What a user writes into opencode.json."""
    limit = {"context": LONG_CONTEXT, "output": 4096}
    provider = {
        "npm": "@ai-sdk/openai-compatible",
        "name": "Millrace",
        "options": {"baseURL": url, "apiKey": key},
        "models": {model: {"name": model, "limit": limit}},
    }
    name = f"millrace/{model}"
    return {
        "autoupdate": False,
        "share": "disabled",
        "model": name,
        "small_model": name,
        "provider": {"millrace": provider},
    }


@covers("chat stream")
def test_a_run_completes(opencode: Agent, figure: Figure) -> None:
    ran = opencode(QUESTION)
    assert ran.status == 0, ran.out + ran.err
    text = "".join(event["part"]["text"] for event in ran.events() if event["type"] == "text")
    (step,) = (event["part"] for event in ran.events() if event["type"] == "step_finish")
    assert text
    assert step["reason"] == "stop"
    assert step["tokens"]["output"] > 0
    figure("prompt tokens of an opencode run", step["tokens"]["input"])


@covers("errors")
@pytest.mark.parametrize("wrong", [{"key": "mr-wrong"}, {"model": "abacus-huge"}], ids=["key", "model"])
def test_what_is_refused_fails_the_run(opencode: Agent, wrong: dict[str, str]) -> None:
    ran = opencode(QUESTION, **wrong)
    assert "error" in [event["type"] for event in ran.events()] or ran.status != 0
    assert not [event for event in ran.events() if event["type"] == "text"]


@covers("stream endings")
@pytest.mark.usefixtures("breaking_off")
def test_a_stream_that_breaks_off_is_no_finished_step(opencode: Agent) -> None:
    ran = opencode(QUESTION, model=HOSTED)
    assert "stop" not in [event["part"]["reason"] for event in ran.events() if event["type"] == "step_finish"]
    assert "error" in [event["type"] for event in ran.events()] or ran.status != 0
