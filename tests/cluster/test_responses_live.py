"""The Responses API's state on the whole cluster: real vLLM, two gateways behind HAProxy, one store.

That a stored response outlives its engine is shown by not asking the engine: while it is retrieved and listed, the
engine generates nothing, so whether its replica lives cannot matter. Killing one would test Serve, which
test_gateway_live.py does.
"""

import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from tests.cluster.live import LiveCluster, ask, wait_for

SMALL = "abacus-small"
TOOL: dict[str, Any] = {
    "type": "function",
    "name": "add",
    "description": "Adds two numbers.",
    "parameters": {
        "type": "object",
        "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
        "required": ["a", "b"],
    },
}
ROUNDS = 20
"""Retrievals on connections of their own, which HAProxy spreads over both gateways."""


@pytest.fixture
def client(live: LiveCluster) -> Iterator[openai.OpenAI]:
    """The SDK at HAProxy."""
    with openai.OpenAI(base_url=f"{live.url}/v1", api_key=live.key, max_retries=0) as client:
        yield client


def test_a_chain_of_three_turns(live: LiveCluster, client: openai.OpenAI) -> None:
    first = client.responses.create(model=SMALL, input="7 + 5")
    with client.responses.stream(model=SMALL, input="12 - 3", previous_response_id=first.id) as stream:
        second = stream.get_final_response()
    third = client.responses.create(model=SMALL, input="7 + 5", previous_response_id=second.id)
    assert first.output_text
    assert [one.previous_response_id for one in (first, second, third)] == [None, first.id, second.id]
    assert [one.status for one in (first, second, third)] == ["completed"] * 3
    assert third.usage is not None
    assert first.usage is not None
    assert third.usage.input_tokens > 2 * first.usage.input_tokens
    items = client.responses.input_items.list(third.id, order="asc", limit=2)
    texts = [item.content[0].text for item in items]  # type: ignore[union-attr]
    assert texts == ["7 + 5", first.output_text, "12 - 3", second.output_text, "7 + 5"]


def test_every_gateway_hands_it_out_without_asking_the_engine(live: LiveCluster, client: openai.OpenAI) -> None:
    made = client.responses.create(model=SMALL, input="7 + 5")
    wait_for(lambda: live.state(SMALL)["unfinished"] == 0, what="an idle engine")
    generated = live.state(SMALL)["generated_tokens"]
    url = f"{live.url}/v1/responses/{made.id}"
    answers = [ask(url, token=live.key) for _ in range(ROUNDS)]
    assert {answer.status for answer in answers} == {200}
    assert {json.dumps(answer.json()) for answer in answers} == {json.dumps(answers[0].json())}
    assert ask(f"{url}/input_items", token=live.key).json()["data"][0]["content"][0]["text"] == "7 + 5"
    assert live.state(SMALL)["generated_tokens"] == generated
    client.responses.delete(made.id)
    assert {ask(url, token=live.key).status for _ in range(ROUNDS)} == {404}


@pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
def test_a_tool_call_is_answered_in_the_next_turn(client: openai.OpenAI, stream: bool) -> None:
    asked: dict[str, Any] = {
        "model": SMALL,
        "input": "7 + 5",
        "tools": [TOOL],
        "tool_choice": {"type": "function", "name": "add"},
        "max_output_tokens": 200,
    }
    if stream:
        with client.responses.stream(**asked) as events:
            made = events.get_final_response()
    else:
        made = client.responses.create(**asked)  # type: ignore[assignment]
    (call,) = [item for item in made.output if item.type == "function_call"]
    result: Any = {"type": "function_call_output", "call_id": call.call_id, "output": "12"}
    answer = client.responses.create(model=SMALL, input=[result], previous_response_id=made.id, max_output_tokens=20)
    kinds = [item.type for item in client.responses.input_items.list(answer.id, order="asc")]
    assert answer.status in ("completed", "incomplete")
    assert kinds[0] == "message"
    assert kinds[-2:] == ["function_call", "function_call_output"]


def test_a_background_response_is_cancelled_and_its_engine_freed(live: LiveCluster, client: openai.OpenAI) -> None:
    endless: dict[str, Any] = {"ignore_eos": True, "min_tokens": 900}
    made = client.responses.create(
        model=SMALL, input="7 + 5", background=True, max_output_tokens=900, extra_body=endless
    )
    assert made.status == "queued"
    wait_for(lambda: live.state(SMALL)["running"] > 0, what="the engine to work on it")
    cancelled = client.responses.cancel(made.id)
    wait_for(lambda: live.state(SMALL)["unfinished"] == 0, what="the engine to be free")
    assert cancelled.status in ("cancelled", "completed")
    assert {client.responses.retrieve(made.id).status for _ in range(ROUNDS)} == {cancelled.status}


def test_a_background_response_completes(client: openai.OpenAI) -> None:
    made = client.responses.create(model=SMALL, input="7 + 5", background=True)
    ended = wait_for(
        lambda: (seen := client.responses.retrieve(made.id)).status not in ("queued", "in_progress") and seen,
        what="the background response",
    )
    assert ended
    assert (ended.status, ended.id) == ("completed", made.id)
    assert ended.output_text
