"""The Anthropic SDK against the live cluster: Messages, as Claude's own clients speak it."""

import json
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import anthropic
import pytest

from tests.clients.asked import (
    FAULTS,
    HOSTED,
    MESSAGES,
    SMALL,
    VERDICT,
    breaking,
    check_add,
    check_verdict,
    message_tools,
)
from tests.clients.matrix import matrix_column
from tests.cluster.live import LiveCluster
from tests.figures import Figure

NAMED: Any = {"type": "tool", "name": "add", "disable_parallel_tool_use": True}
covers = matrix_column("anthropic")


@pytest.fixture
def hits() -> list[str]:
    """The path of every request the SDK sends, retries included."""
    return []


@pytest.fixture
def client(millrace: LiveCluster, hits: list[str]) -> Iterator[anthropic.Anthropic]:
    http = anthropic.DefaultHttpxClient(event_hooks={"request": [lambda request: hits.append(request.url.path)]})
    with anthropic.Anthropic(base_url=millrace.url, api_key=millrace.key, http_client=http) as client:
        yield client


@pytest.fixture
def create(client: anthropic.Anthropic) -> Callable[..., Any]:
    make: Any = client.messages.create
    return partial(make, model=SMALL, messages=MESSAGES, max_tokens=96)


@covers("messages")
def test_a_message(create: Callable[..., Any]) -> None:
    answer = create(system="Be brief.", metadata={"user_id": "u"})
    (block,) = answer.content
    assert (answer.type, answer.role, answer.stop_reason, block.type) == ("message", "assistant", "end_turn", "text")
    assert block.text
    assert answer.usage.input_tokens > 0
    assert answer.usage.output_tokens > 0
    assert answer._request_id


@covers("messages")
def test_a_bearer_token_a_beta_route_and_a_thinking_budget(millrace: LiveCluster) -> None:
    with anthropic.Anthropic(base_url=millrace.url, auth_token=millrace.key, api_key=None) as client:
        answer = client.beta.messages.create(
            model=SMALL, messages=MESSAGES, max_tokens=900, betas=["context-1m-2025-08-07"],
            thinking={"type": "enabled", "budget_tokens": 1024}, extra_body={"max_tokens": 64},
        )  # fmt: skip
    assert answer.content[0].type == "text"


@covers("stop")
def test_a_stop_sequence_is_named(create: Callable[..., Any]) -> None:
    whole = create().content[0].text
    cut = create(stop_sequences=[whole[0]])
    assert (cut.stop_reason, cut.stop_sequence) == ("stop_sequence", whole[0])
    assert not any(block.text for block in cut.content)


@covers("messages stream")
def test_a_stream(client: anthropic.Anthropic) -> None:
    with client.messages.stream(model=SMALL, messages=MESSAGES, max_tokens=96) as stream:
        kinds = [event.type for event in stream]
        message = stream.get_final_message()
    assert kinds[0] == "message_start"
    assert kinds[-1] == "message_stop"
    assert message.stop_reason == "end_turn"
    assert message.usage.output_tokens > 0


@covers("tools auto")
def test_auto_answers_or_calls(create: Callable[..., Any]) -> None:
    assert create(tools=message_tools(), tool_choice={"type": "auto"}).content


@covers("tools none")
def test_none_never_calls(create: Callable[..., Any]) -> None:
    answer = create(tools=message_tools(), tool_choice={"type": "none"})
    assert [block.type for block in answer.content] == ["text"]


@covers("tools required")
def test_any_calls_one(create: Callable[..., Any]) -> None:
    answer = create(tools=message_tools(), tool_choice={"type": "any", "disable_parallel_tool_use": True})
    calls = [block for block in answer.content if block.type == "tool_use"]
    assert answer.stop_reason == "tool_use"
    assert [call.name in ("add", "pick") for call in calls] == [True]


@covers("tools named")
def test_a_named_tool_is_called_and_its_result_read(create: Callable[..., Any]) -> None:
    answer = create(tools=message_tools(), tool_choice=NAMED)
    (call,) = (block for block in answer.content if block.type == "tool_use")
    check_add(call.input)
    turns = [
        *MESSAGES,
        {"role": "assistant", "content": [call.model_dump(exclude_none=True)]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": call.id, "content": "9"}]},
    ]
    assert create(messages=turns, tools=message_tools()).stop_reason in ("end_turn", "tool_use")


@covers("tools named")
def test_a_call_streams_as_json_deltas(client: anthropic.Anthropic) -> None:
    with client.messages.stream(
        model=SMALL, messages=MESSAGES, max_tokens=96, tools=message_tools(), tool_choice=NAMED
    ) as stream:
        pieces = [event for event in stream if event.type == "input_json"]
        message = stream.get_final_message()
    assert len(pieces) > 1
    (call,) = (block for block in message.content if block.type == "tool_use")
    check_add(call.input)


@covers("tools auto")
def test_server_tools_and_their_records_do_no_harm(create: Callable[..., Any]) -> None:
    server = {"type": "web_search_20250305", "name": "web_search", "max_uses": 1}
    record = [
        {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "x"}},
        {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": []},
        {"type": "text", "text": "9"},
    ]
    turns = [*MESSAGES, {"role": "assistant", "content": record}, *MESSAGES]
    assert create(messages=turns, tools=[server, *message_tools()], tool_choice={"type": "auto"}).content


@covers("json_schema")
def test_a_schema_is_kept(create: Callable[..., Any]) -> None:
    answer = create(output_config={"format": {"type": "json_schema", "schema": VERDICT}})
    check_verdict(json.loads(answer.content[0].text))


@covers("count_tokens")
def test_tokens_are_counted_as_they_are_billed(client: anthropic.Anthropic, create: Callable[..., Any]) -> None:
    counted = client.messages.count_tokens(model=SMALL, messages=MESSAGES, system="Be brief.", tools=message_tools())
    assert counted.input_tokens == create(system="Be brief.", tools=message_tools()).usage.input_tokens


@covers("models")
def test_models(client: anthropic.Anthropic) -> None:
    assert client.models.retrieve(SMALL).id == SMALL
    with pytest.raises(anthropic.NotFoundError):
        client.models.retrieve("abacus-huge")


@covers("errors")
def test_errors_have_anthropics_shape(client: anthropic.Anthropic, create: Callable[..., Any], hits: list[str]) -> None:
    with pytest.raises(anthropic.NotFoundError) as missing:
        create(model="abacus-huge")
    with pytest.raises(anthropic.BadRequestError) as bad:
        create(extra_body={"temperature": 9})
    with pytest.raises(anthropic.BadRequestError) as refused:
        create(messages=[{"role": "user", "content": "7 " * 2000}])
    with pytest.raises(anthropic.AuthenticationError) as wrong:
        client.with_options(api_key="mr-wrong").messages.create(model=SMALL, messages=MESSAGES, max_tokens=8)
    for error in (missing, bad, refused, wrong):
        assert isinstance(error.value.body, dict)
        assert error.value.body["type"] == "error"
        assert error.value.request_id
    assert len(hits) == 4


@covers("retries")
def test_a_refusing_upstream_is_asked_again_and_then_raised(client: anthropic.Anthropic, hits: list[str]) -> None:
    script = {"stand_in": {"status": 529, "retry_after": "1"}}
    with pytest.raises(anthropic.APIStatusError) as caught:
        client.with_options(max_retries=1).messages.create(
            model=HOSTED, messages=MESSAGES, max_tokens=8, extra_body=script
        )
    assert int(caught.value.response.headers["retry-after"]) <= 120
    assert len(hits) == 2


@covers("retries")
def test_what_cannot_be_cured_is_asked_once(create: Callable[..., Any], hits: list[str], figure: Figure) -> None:
    with pytest.raises(anthropic.BadRequestError) as caught:
        create(extra_body={"temperature": 9})
    assert caught.value.response.headers["x-should-retry"] == "false"
    figure("requests for a call that cannot succeed, anthropic", len(hits), "", 1)
    assert len(hits) == 1


@covers("stream endings")
@pytest.mark.parametrize("fault", FAULTS)
def test_a_stream_that_breaks_off_raises(client: anthropic.Anthropic, hits: list[str], fault: str) -> None:
    script: Any = {"stand_in": breaking(fault)}
    with (
        pytest.raises(anthropic.APIError),
        client.messages.stream(model=HOSTED, messages=MESSAGES, max_tokens=64, extra_body=script) as stream,
    ):
        stream.until_done()
    assert len(hits) == 1
