"""openai-node against the live cluster; each scenario of drivers/openai_node.mjs is one run of Node."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.clients.asked import EMBED, FAULTS, SMALL, breaking, check_add, check_verdict
from tests.clients.driving import Drive, node_driver
from tests.clients.matrix import matrix_column
from tests.cluster.live import LiveCluster
from tests.figures import Figure

pytestmark = pytest.mark.usefixtures("node")
covers = matrix_column("openai-node")


@pytest.fixture
def drive(millrace: LiveCluster, tmp_path: Path) -> Drive:
    return node_driver("openai_node.mjs", millrace, tmp_path)


@covers("chat")
def test_chat(drive: Drive) -> None:
    answer = drive("chat")["result"]
    assert answer["choices"][0]["message"]["content"]
    assert answer["choices"][0]["finish_reason"] == "stop"


@covers("chat stream")
def test_a_stream_with_usage(drive: Drive) -> None:
    chunks = drive("chat_stream")["result"]
    assert chunks[0]["choices"][0]["delta"]["role"] == "assistant"
    assert [each["finish_reason"] for chunk in chunks for each in chunk["choices"] if each["finish_reason"]] == ["stop"]
    assert [chunk["usage"]["total_tokens"] > 0 for chunk in chunks if chunk.get("usage")] == [True]


@pytest.mark.parametrize(
    ("choice", "calls"),
    [
        pytest.param({"tool_choice": "auto"}, (0, 1), marks=covers("tools auto"), id="auto"),
        pytest.param({"tool_choice": "none"}, (0,), marks=covers("tools none"), id="none"),
        pytest.param(
            {"tool_choice": "required", "parallel_tool_calls": False}, (1,), marks=covers("tools required"),
            id="required",
        ),
        pytest.param(
            {"tool_choice": {"type": "function", "function": {"name": "add"}}}, (1,), marks=covers("tools named"),
            id="named",
        ),
    ],
)  # fmt: skip
def test_tools(drive: Drive, choice: dict[str, Any], calls: tuple[int, ...]) -> None:
    message = drive("tools", choice=choice)["result"]["choices"][0]["message"]
    assert len(message.get("tool_calls") or ()) in calls
    for call in message.get("tool_calls") or ():
        assert call["id"]
        assert call["function"]["name"] in ("add", "pick")


@covers("tools named")
def test_a_call_streams(drive: Drive) -> None:
    (call,) = drive("tools_stream")["result"]["tool_calls"]
    check_add(json.loads(call["function"]["arguments"]))


@covers("json_schema")
def test_a_schema_is_kept(drive: Drive) -> None:
    check_verdict(drive("json_schema")["result"])


@covers("logprobs")
@covers("n > 1")
@covers("seed")
def test_logprobs_of_two_choices(drive: Drive) -> None:
    choices, again = (answer["choices"] for answer in drive("logprobs")["result"])
    assert [choice["message"]["content"] for choice in again] == [choice["message"]["content"] for choice in choices]
    assert [choice["index"] for choice in choices] == [0, 1]
    assert all(len(token["top_logprobs"]) == 2 for choice in choices for token in choice["logprobs"]["content"])


@covers("completions")
def test_completions_echo_with_logprobs(drive: Drive) -> None:
    (choice,) = drive("completions")["result"]["choices"]
    assert choice["text"].startswith("7 + 5 =")
    assert choice["logprobs"]["token_logprobs"][0] is None


@covers("embeddings")
def test_embeddings(drive: Drive) -> None:
    made = drive("embeddings")["result"]
    assert made["tokens"] == 5
    assert [each["index"] for each in made["byDefault"]] == [0, 1]
    assert made["byDefault"][0]["embedding"] == pytest.approx(made["floats"][0]["embedding"], abs=1e-6)


@covers("responses")
def test_a_response(drive: Drive) -> None:
    answer = drive("response")["result"]
    assert answer["status"] == "completed"
    assert answer["output_text"]


@covers("responses")
def test_a_response_calls_a_tool(drive: Drive) -> None:
    (call,) = drive("response_tool")["result"]["output"]
    assert (call["type"], call["name"]) == ("function_call", "add")
    check_add(json.loads(call["arguments"]))


@covers("responses stream")
def test_a_response_streams(drive: Drive) -> None:
    result = drive("response_stream")["result"]
    assert result["kinds"][0] == "response.created"
    assert result["kinds"][-1] == "response.completed"
    assert result["text"]


@covers("responses state")
def test_a_response_is_kept_continued_and_deleted(drive: Drive) -> None:
    result = drive("response_state")["result"]
    assert result["next"]["previous_response_id"] == result["first"]["id"]
    assert result["again"]["output_text"] == result["first"]["output_text"]
    assert result["items"]
    assert result["gone"]["name"] == "NotFoundError"


@covers("models")
def test_models(drive: Drive) -> None:
    result = drive("models")["result"]
    assert {SMALL, EMBED} <= set(result["listed"])
    assert result["one"] == SMALL
    assert (result["missing"]["name"], result["missing"]["code"]) == ("NotFoundError", "model_not_found")


@covers("errors")
def test_errors_are_the_sdks_own_classes(drive: Drive) -> None:
    ran = drive("errors")
    errors = ran["result"]
    assert ran["hits"] == 3
    assert {name: error["name"] for name, error in errors.items()} == {
        "missing": "NotFoundError",
        "bad": "BadRequestError",
        "wrong": "AuthenticationError",
    }
    assert errors["bad"]["param"] == "temperature"
    assert all(error["request"] for error in errors.values())


@covers("retries")
def test_a_refusing_upstream_is_asked_again_and_then_raised(drive: Drive) -> None:
    ran = drive("retried")
    assert ran["hits"] == 2
    assert ran["result"]["status"] in (429, 503)


@covers("retries")
def test_what_cannot_be_cured_is_asked_once(drive: Drive, figure: Figure) -> None:
    ran = drive("once")
    figure("requests for a call that cannot succeed, openai-node", ran["hits"], "", 1)
    assert (ran["hits"], ran["result"]["retry"]) == (1, "false")


@covers("stream endings")
@pytest.mark.parametrize("fault", FAULTS)
def test_a_stream_that_breaks_off_raises(drive: Drive, fault: str) -> None:
    ran = drive("ending", script=breaking(fault))
    assert ran["result"]["name"] is not None
    assert ran["hits"] == 1
