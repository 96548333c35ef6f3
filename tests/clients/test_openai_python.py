"""openai-python: chat completions, tools, schemas and sampling, against the live cluster."""

import json
from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import openai
import pytest
from pydantic import BaseModel, Field

from tests.clients.asked import MESSAGES, SMALL, VERDICT, chat_tools, check_add, check_verdict
from tests.clients.matrix import matrix_column
from tests.cluster.live import LiveCluster

NAMED = {"type": "function", "function": {"name": "add"}}
covers = matrix_column("openai-python")


@covers("chat")
def test_chat(chat: Callable[..., Any]) -> None:
    answer = chat()
    assert answer.choices[0].message.content
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    assert answer._request_id


@covers("chat")
def test_chat_with_parts_and_a_developer(chat: Callable[..., Any]) -> None:
    parts = [{"type": "text", "text": "What is"}, {"type": "text", "text": " 12 - 3?"}]
    assert chat(messages=[{"role": "developer", "content": "Be brief."}, {"role": "user", "content": parts}]).choices


@covers("chat stream")
@pytest.mark.parametrize("asked", [True, False], ids=["usage asked", "usage not asked"])
def test_a_stream_shows_usage_only_when_asked(chat: Callable[..., Any], asked: bool) -> None:
    options = {"stream_options": {"include_usage": True}} if asked else {}
    chunks = list(chat(stream=True, **options))
    assert chunks[0].choices[0].delta.role == "assistant"
    assert [choice.finish_reason for chunk in chunks for choice in chunk.choices if choice.finish_reason] == ["stop"]
    assert "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
    assert [chunk.usage.completion_tokens > 0 for chunk in chunks if chunk.usage] == ([True] if asked else [])


@covers("tools auto")
def test_auto_answers_or_calls(chat: Callable[..., Any]) -> None:
    message = chat(tools=chat_tools(), tool_choice="auto").choices[0].message
    assert message.content or message.tool_calls


@covers("tools none")
def test_none_never_calls(chat: Callable[..., Any]) -> None:
    message = chat(tools=chat_tools(), tool_choice="none").choices[0].message
    assert message.content
    assert not message.tool_calls


@covers("tools required")
def test_required_calls_one(chat: Callable[..., Any]) -> None:
    (choice,) = chat(tools=chat_tools(), tool_choice="required", parallel_tool_calls=False).choices
    (call,) = choice.message.tool_calls
    assert (choice.finish_reason, call.type) == ("tool_calls", "function")
    assert call.id
    assert call.function.name in ("add", "pick")


@covers("tools named")
def test_a_named_tool_is_called_and_its_result_read(client: openai.OpenAI, chat: Callable[..., Any]) -> None:
    message = chat(tools=chat_tools(), tool_choice=NAMED).choices[0].message
    (call,) = message.tool_calls
    check_add(json.loads(call.function.arguments))
    result = {"role": "tool", "tool_call_id": call.id, "content": "9"}
    after = chat(messages=[*MESSAGES, message, result], tools=chat_tools(), tool_choice="none")
    assert after.choices[0].finish_reason == "stop"


@covers("tools named")
def test_a_call_streams_as_deltas_under_one_id(client: openai.OpenAI) -> None:
    with client.chat.completions.stream(
        model=SMALL, messages=MESSAGES, tools=chat_tools(), tool_choice=NAMED, temperature=0, max_tokens=96  # type: ignore[arg-type]
    ) as stream:  # fmt: skip
        pieces = [event for event in stream if event.type == "tool_calls.function.arguments.delta"]
        (call,) = stream.get_final_completion().choices[0].message.tool_calls or ()
    assert len(pieces) > 1
    assert "".join(piece.arguments_delta for piece in pieces) == call.function.arguments
    check_add(json.loads(call.function.arguments))


@covers("tools parallel")
def test_several_calls_in_one_answer(client: openai.OpenAI, millrace: LiveCluster, chat: Callable[..., Any]) -> None:
    bias = {str(token_of(client, "]")): 4}  # or so small a model goes on calling
    answer = chat(
        tools=chat_tools(), tool_choice="required", temperature=1, seed=1, n=8, max_tokens=400, logit_bias=bias
    )
    calls = max((choice.message.tool_calls or [] for choice in answer.choices), key=len)
    assert len(calls) > 1
    assert len({call.id for call in calls}) == len(calls)
    assert {call.function.name for call in calls} <= {"add", "pick"}


def token_of(client: openai.OpenAI, text: str) -> int:
    """The id of one character in Abacus' vocabulary; a prompt's tokens begin with one that is not its own."""
    url = str(client.base_url).removesuffix("v1/") + "tokenize"
    tokens: Any = client.post(url, body={"model": SMALL, "prompt": text}, cast_to=object)
    return int(tokens["tokens"][1])


@covers("json_schema")
def test_a_schema_is_kept(chat: Callable[..., Any]) -> None:
    schema = {"type": "json_schema", "json_schema": {"name": "verdict", "strict": True, "schema": VERDICT}}
    check_verdict(json.loads(chat(response_format=schema).choices[0].message.content))


@covers("json_schema")
def test_a_pydantic_model_is_parsed(client: openai.OpenAI) -> None:
    class Verdict(BaseModel):
        sign: Literal["plus", "minus"]
        sure: bool
        digits: list[Literal[1, 2]] = Field(max_length=2)

    parsed = client.chat.completions.parse(model=SMALL, messages=MESSAGES, response_format=Verdict, max_tokens=96)
    assert isinstance(parsed.choices[0].message.parsed, Verdict)


@covers("json_object")
def test_any_object(client: openai.OpenAI, chat: Callable[..., Any]) -> None:
    answer = chat(response_format={"type": "json_object"}, logit_bias={str(token_of(client, "}")): 20})
    assert isinstance(json.loads(answer.choices[0].message.content), dict)


@covers("logprobs")
def test_logprobs_of_every_token(chat: Callable[..., Any]) -> None:
    answer = chat(logprobs=True, top_logprobs=3)
    tokens = answer.choices[0].logprobs.content
    assert len(tokens) == answer.usage.completion_tokens
    assert all(len(token.top_logprobs) == 3 and token.logprob <= 0 for token in tokens)


@covers("n > 1")
def test_several_choices(chat: Callable[..., Any]) -> None:
    answer = chat(n=3, temperature=1, seed=5)
    assert [choice.index for choice in answer.choices] == [0, 1, 2]


@covers("n > 1")
def test_several_choices_stream_side_by_side(chat: Callable[..., Any]) -> None:
    ends = [each.index for chunk in chat(n=2, stream=True) for each in chunk.choices if each.finish_reason]
    assert sorted(ends) == [0, 1]


@covers("stop")
@pytest.mark.parametrize("several", [False, True], ids=["string", "list"])
def test_stop_ends_the_answer(client: openai.OpenAI, several: bool) -> None:
    ask: Any = partial(client.completions.create, model=SMALL, prompt="1 2 3 4 5", temperature=0, max_tokens=24)
    whole = ask(extra_body={"ignore_eos": True, "skip_special_tokens": False}).choices[0].text
    mark = whole[len(whole) // 2 : len(whole) // 2 + 2]
    cut = ask(stop=[mark, "@@"] if several else mark, extra_body={"ignore_eos": True, "skip_special_tokens": False})
    assert cut.choices[0].text == whole[: whole.index(mark)]
    assert cut.choices[0].finish_reason == "stop"


@covers("seed")
def test_a_seed_repeats_the_answer(chat: Callable[..., Any]) -> None:
    def said(seed: int) -> str:
        return str(chat(seed=seed, temperature=1.5, max_tokens=48, extra_body={"ignore_eos": True}).choices[0].message)

    assert said(7) == said(7)
    assert said(7) != said(8)
