"""The AI SDK with its OpenAI-compatible provider against the live cluster; each scenario is one run of Node."""

from pathlib import Path
from typing import Any

import pytest

from tests.clients.asked import FAULTS, breaking, check_add, check_verdict
from tests.clients.driving import Drive, node_driver
from tests.clients.matrix import matrix_column
from tests.cluster.live import LiveCluster

pytestmark = pytest.mark.usefixtures("node")
covers = matrix_column("ai-sdk")


@pytest.fixture
def drive(millrace: LiveCluster, tmp_path: Path) -> Drive:
    return node_driver("ai_sdk.mjs", millrace, tmp_path)


@covers("chat")
def test_chat(drive: Drive) -> None:
    answer = drive("chat")["result"]
    assert answer["text"]
    assert answer["finishReason"] == "stop"


@covers("chat stream")
def test_a_stream_with_usage(drive: Drive) -> None:
    answer = drive("stream")["result"]
    assert answer["text"]
    assert answer["finishReason"] == "stop"
    assert answer["usage"]["totalTokens"] > 0
    assert answer["parts"][-1] == "finish"


@pytest.mark.parametrize(
    ("choice", "calls"),
    [
        pytest.param("auto", (0, 1), marks=covers("tools auto"), id="auto"),
        pytest.param("none", (0,), marks=covers("tools none"), id="none"),
        pytest.param({"type": "tool", "toolName": "add"}, (1,), marks=covers("tools named"), id="named"),
    ],
)
def test_tools_are_called_and_run(drive: Drive, choice: Any, calls: tuple[int, ...]) -> None:
    answer = drive("tools", choice=choice)["result"]
    assert len(answer["toolCalls"]) in calls
    for call, result in zip(answer["toolCalls"], answer["toolResults"], strict=True):
        check_add(call["input"])
        assert result["output"] == {"sum": call["input"]["a"] + call["input"]["b"]}


@covers("tools required")
def test_a_required_tool_is_called(drive: Drive) -> None:
    answer = drive("tools", choice="required", options={"millrace": {"parallel_tool_calls": False}})["result"]
    assert [call["toolName"] in ("add", "pick") for call in answer["toolCalls"]] == [True]
    assert answer["finishReason"] == "tool-calls"


@covers("tools named")
def test_a_call_streams(drive: Drive) -> None:
    answer = drive("tools_stream")["result"]
    (call,) = answer["toolCalls"]
    check_add(call["input"])
    assert "tool-input-delta" in answer["parts"]


@covers("tools auto")
def test_a_loop_of_steps(drive: Drive) -> None:
    answer = drive("tools_loop")["result"]
    assert answer["steps"] == 2 or answer["text"]


@covers("json_schema")
def test_a_schema_is_kept(drive: Drive) -> None:
    check_verdict(drive("object")["result"])


@covers("embeddings")
def test_embeddings(drive: Drive) -> None:
    made = drive("embeddings")["result"]
    assert len(set(made["lengths"])) == 1
    assert made["usage"]["tokens"] > 0


@covers("errors")
def test_errors(drive: Drive) -> None:
    errors = drive("errors")["result"]
    assert {name: error["status"] for name, error in errors.items()} == {"missing": 404, "wrong": 401, "bad": 400}
    assert not any(error["retryable"] for error in errors.values())


@covers("retries")
def test_a_refusing_upstream_is_asked_again_and_then_raised(drive: Drive) -> None:
    ran = drive("retried", script={"status": 503, "retry_after": "1"})
    assert (ran["hits"], ran["result"]["name"]) == (2, "AI_RetryError")


@covers("retries")
def test_what_cannot_be_cured_is_asked_once(drive: Drive) -> None:
    assert drive("once")["hits"] == 1


@covers("stream endings")
@pytest.mark.parametrize("fault", FAULTS)
def test_a_stream_that_breaks_off_ends_in_an_error(drive: Drive, fault: str) -> None:
    answer = drive("ending", script=breaking(fault))["result"]
    assert "error" in answer["parts"]
    assert answer["finishReason"] != "stop"
