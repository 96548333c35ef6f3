"""Codex CLI (`codex exec`) against the live cluster: Responses only, streams, tools of types no engine knows.

Its prompt is some twelve thousand tokens, so it runs on the long model; the text is arithmetic, the protocol is real.
"""

import re
from pathlib import Path
from typing import Any

import pytest

from tests.clients.agents import Agent, Given, agent
from tests.clients.asked import HOSTED, QUESTION
from tests.clients.matrix import matrix_column
from tests.clients.programs import Ran, node_program
from tests.cluster.live import LiveCluster
from tests.figures import Figure

pytestmark = pytest.mark.usefixtures("node")
CONFIG = """
model = "{model}"
model_provider = "millrace"
check_for_update_on_startup = false

[model_providers.millrace]
name = "Millrace"
base_url = "{url}"
wire_api = "responses"
env_key = "MILLRACE_KEY"
request_max_retries = 0
stream_max_retries = 0

[analytics]
enabled = false

[otel]
exporter = "none"
"""
covers = matrix_column("codex")


@pytest.fixture
def codex(millrace: LiveCluster, tmp_path: Path) -> Agent:
    program = ["node", *node_program("@openai/codex/bin/codex.js")]
    return agent(millrace, tmp_path, [*program, "exec", "--skip-git-repo-check", "--json"], configure)


def configure(given: Given) -> dict[str, str]:
    """Its one file and its environment."""
    (given.home / "config.toml").write_text(CONFIG.format(model=given.model, url=given.url))
    return {"CODEX_HOME": str(given.home), "MILLRACE_KEY": given.key}


def of_kind(ran: Ran, kind: str) -> list[Any]:
    """The events of one kind."""
    return [event for event in ran.events() if event["type"] == kind]


def said(ran: Ran) -> str:
    """Everything the agent said."""
    items = [event["item"] for event in of_kind(ran, "item.completed")]
    return "".join(item["text"] for item in items if item["type"] == "agent_message")


@covers("responses stream")
def test_a_turn_completes(codex: Agent, figure: Figure) -> None:
    ran = codex(QUESTION)
    assert ran.status == 0, ran.out + ran.err
    (turn,) = of_kind(ran, "turn.completed")
    assert said(ran)
    assert turn["usage"]["output_tokens"] > 0
    figure("prompt tokens of a codex turn", turn["usage"]["input_tokens"])


@covers("responses state")
def test_a_second_turn_goes_on_with_the_first(codex: Agent) -> None:
    first = codex(QUESTION)
    second = codex("resume", "--last", "What is 9 - 4?")
    assert second.status == 0, second.out + second.err
    before, after = (of_kind(ran, "turn.completed")[0]["usage"]["input_tokens"] for ran in (first, second))
    assert after > before


@covers("errors")
def test_a_wrong_key_fails_the_turn(codex: Agent) -> None:
    ran = codex(QUESTION, key="mr-wrong")
    assert ran.status != 0
    assert re.search("401|API key", ran.out)


@covers("errors")
def test_an_unknown_model_fails_the_turn(codex: Agent) -> None:
    ran = codex(QUESTION, model="abacus-huge")
    assert ran.status != 0
    assert "abacus-huge" in ran.out


@covers("stream endings")
@pytest.mark.usefixtures("breaking_off")
def test_a_stream_that_breaks_off_fails_the_turn(codex: Agent) -> None:
    ran = codex(QUESTION, model=HOSTED)
    assert ran.status != 0
    assert of_kind(ran, "turn.failed")
    assert not of_kind(ran, "turn.completed")
