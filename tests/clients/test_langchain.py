"""langchain-openai against the live cluster; each scenario of drivers/langchain_client.py is one run of Python."""

from pathlib import Path
from typing import Any

import pytest

from tests.clients.asked import FAULTS, breaking, check_add, check_verdict
from tests.clients.driving import Drive, venv_driver
from tests.clients.matrix import matrix_column
from tests.cluster.live import LiveCluster

pytestmark = pytest.mark.usefixtures("venv")
covers = matrix_column("langchain")


@pytest.fixture
def drive(millrace: LiveCluster, tmp_path: Path) -> Drive:
    return venv_driver("langchain_client.py", millrace, tmp_path)


@covers("chat")
def test_chat(drive: Drive) -> None:
    answer = drive("chat")
    assert answer["content"]
    assert answer["usage"]["total_tokens"] > 0
    assert answer["metadata"]["finish_reason"] == "stop"


@covers("chat")
def test_a_batch(drive: Drive) -> None:
    assert [bool(answer["content"]) for answer in drive("batch")] == [True, True]


@covers("chat stream")
def test_a_stream_with_usage(drive: Drive) -> None:
    answer = drive("stream")
    assert answer["content"]
    assert answer["usage"]["output_tokens"] > 0


@pytest.mark.parametrize(
    ("choice", "calls"),
    [
        pytest.param({"tool_choice": "auto"}, (0, 1), marks=covers("tools auto"), id="auto"),
        pytest.param({"tool_choice": "none"}, (0,), marks=covers("tools none"), id="none"),
        pytest.param(
            {"tool_choice": "any", "parallel_tool_calls": False}, (1,), marks=covers("tools required"), id="required"
        ),
        pytest.param({"tool_choice": "add"}, (1,), marks=covers("tools named"), id="named"),
    ],
)
def test_tools(drive: Drive, choice: dict[str, Any], calls: tuple[int, ...]) -> None:
    answer = drive("tools", choice=choice)
    assert len(answer["calls"]) in calls
    for call in answer["calls"]:
        assert call["name"] in ("add", "pick")
        if call["name"] == "add":
            check_add(call["args"])


@covers("json_schema")
def test_a_schema_is_kept(drive: Drive) -> None:
    check_verdict(drive("structured"))


@covers("logprobs")
def test_logprobs(drive: Drive) -> None:
    answer = drive("logprobs")
    assert answer["logprobs"] == answer["usage"]["output_tokens"]


@covers("completions")
def test_a_completion(drive: Drive) -> None:
    assert isinstance(drive("completion"), str)


@covers("embeddings")
def test_embeddings(drive: Drive) -> None:
    made = drive("embeddings")
    assert len(set(made["lengths"])) == 1
    assert made["same"] == pytest.approx(made["first"], abs=1e-2)


@covers("responses")
def test_a_response(drive: Drive) -> None:
    answer = drive("responses")
    assert answer["content"]
    assert answer["metadata"]["status"] == "completed"


@covers("responses stream")
def test_a_response_streams(drive: Drive) -> None:
    assert drive("responses_stream")["content"]


@covers("errors")
def test_errors(drive: Drive) -> None:
    errors = drive("errors")
    assert {name: error["code"] for name, error in errors.items() if name != "bad"} == {
        "missing": "model_not_found",
        "wrong": "invalid_api_key",
    }
    assert errors["bad"]["name"] == "OpenAIInvalidRequestError"


@covers("stream endings")
@pytest.mark.parametrize("fault", FAULTS)
def test_a_stream_that_breaks_off_raises(drive: Drive, fault: str) -> None:
    assert drive("ending", script=breaking(fault))["name"] is not None
