"""openai-python: completions, embeddings, responses with their state, and models, against the live cluster."""

import base64
import json
import struct
from functools import partial
from typing import Any

import openai
import pytest

from tests.clients.asked import (
    EMBED,
    HOSTED,
    LONG,
    QUESTION,
    SMALL,
    VERDICT,
    check_add,
    check_verdict,
    response_tools,
)
from tests.clients.matrix import matrix_column

covers = matrix_column("openai-python")


@covers("completions")
def test_completions_of_text_lists_and_tokens(client: openai.OpenAI) -> None:
    create: Any = partial(client.completions.create, model=SMALL, temperature=0, max_tokens=4)
    one, tokens = create(prompt="7 + 5 ="), create(prompt=[1, 283, 274])
    several = create(prompt=["7 + 5 =", "12 - 3 ="])
    assert [choice.index for choice in several.choices] == [0, 1]
    assert several.choices[0].text == one.choices[0].text
    assert tokens.usage.prompt_tokens == 3


@covers("completions")
def test_completions_echo_with_logprobs(client: openai.OpenAI) -> None:
    answer = client.completions.create(
        model=SMALL, prompt="7 + 5 =", echo=True, logprobs=2, max_tokens=2, temperature=0
    )
    said, logprobs = answer.choices[0], answer.choices[0].logprobs
    assert said.text.startswith("7 + 5 =")
    assert logprobs is not None
    assert logprobs.tokens is not None
    assert logprobs.token_logprobs is not None
    assert logprobs.token_logprobs[0] is None
    assert all(value is not None and value <= 0 for value in logprobs.token_logprobs[1:])
    assert answer.usage is not None
    assert len(logprobs.tokens) == answer.usage.total_tokens


@covers("completions")
def test_completions_stream(client: openai.OpenAI) -> None:
    chunks = list(client.completions.create(model=SMALL, prompt="7 + 5 =", max_tokens=6, temperature=0, stream=True))
    assert [choice.finish_reason for chunk in chunks for choice in chunk.choices if choice.finish_reason]


@covers("embeddings")
def test_embeddings_float_and_base64_are_the_same(client: openai.OpenAI) -> None:
    asked: Any = {"model": EMBED, "input": ["7 + 5", "sort 3 1 2"]}
    default, floats = client.embeddings.create(**asked), client.embeddings.create(**asked, encoding_format="float")
    raw: Any = client.post(
        "/embeddings", body={**asked, "encoding_format": "base64"}, cast_to=object, options={"max_retries": 0}
    )
    decoded = base64.b64decode(raw["data"][0]["embedding"])
    vector = list(struct.unpack(f"<{len(decoded) // 4}f", decoded))
    assert [each.index for each in default.data] == [0, 1]
    assert default.data[0].embedding == pytest.approx(floats.data[0].embedding, abs=1e-6)
    assert vector == pytest.approx(floats.data[0].embedding, abs=1e-6)
    assert default.usage.prompt_tokens > 0


@covers("embeddings")
def test_embeddings_of_token_ids(client: openai.OpenAI) -> None:
    one = client.embeddings.create(model=EMBED, input=[1, 283, 274])
    several = client.embeddings.create(model=EMBED, input=[[1, 283, 274], [1, 227]])
    assert one.usage.prompt_tokens == 3
    assert several.data[0].embedding == pytest.approx(one.data[0].embedding, abs=1e-2)


@covers("responses")
def test_a_response(client: openai.OpenAI) -> None:
    answer = client.responses.create(model=SMALL, input=QUESTION, instructions="Be brief.", temperature=0)
    assert answer.output_text
    assert answer.status == "completed"
    assert answer.usage is not None
    assert answer.usage.total_tokens == answer.usage.input_tokens + answer.usage.output_tokens


@covers("responses")
def test_a_response_calls_a_tool_and_reads_its_result(client: openai.OpenAI) -> None:
    asked: Any = {"model": SMALL, "tools": response_tools(), "temperature": 0, "max_output_tokens": 96}
    named: Any = {"type": "function", "name": "add"}
    answer = client.responses.create(**asked, input=QUESTION, tool_choice=named)
    (call,) = answer.output
    assert call.type == "function_call"
    check_add(json.loads(call.arguments))
    result = {"type": "function_call_output", "call_id": call.call_id, "output": "9"}
    after = client.responses.create(
        **asked, input=[{"role": "user", "content": QUESTION}, call.model_dump(exclude_none=True), result],
        tool_choice="none",
    )  # fmt: skip
    assert after.status == "completed"


@covers("responses")
def test_a_response_keeps_a_schema_and_unknown_tools_do_no_harm(client: openai.OpenAI) -> None:
    text: Any = {"format": {"type": "json_schema", "name": "verdict", "strict": True, "schema": VERDICT}}
    answer = client.responses.create(
        model=SMALL, input=QUESTION, text=text, max_output_tokens=96,
        extra_body={"tools": [{"type": "web_search"}, {"type": "teleport"}], "include": ["web_search_call.results"]},
    )  # fmt: skip
    check_verdict(json.loads(answer.output_text))


@covers("responses stream")
def test_a_response_streams_in_the_order_of_the_protocol(client: openai.OpenAI) -> None:
    with client.responses.stream(model=SMALL, input=QUESTION, temperature=0) as stream:
        events = list(stream)
        final = stream.get_final_response()
    kinds = [event.type for event in events]
    assert kinds[0] == "response.created"
    assert kinds[-1] == "response.completed"
    assert [event.sequence_number for event in events] == sorted({event.sequence_number for event in events})
    assert final.output_text == "".join(e.delta for e in events if e.type == "response.output_text.delta")


@covers("responses state")
@pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
def test_a_response_is_kept_continued_and_deleted(client: openai.OpenAI, stream: bool) -> None:
    first: Any = client.responses.create(model=SMALL, input=QUESTION, temperature=0, store=True, stream=stream)
    if stream:
        first = next(event.response for event in first if event.type == "response.completed")
    again = client.responses.create(model=SMALL, input="And 1 + 1?", previous_response_id=first.id, temperature=0)
    assert again.previous_response_id == first.id
    assert again.usage is not None
    assert again.usage.input_tokens > first.usage.input_tokens
    assert client.responses.retrieve(first.id).output_text == first.output_text
    items = list(client.responses.input_items.list(again.id))
    assert len(items) > 0
    client.responses.delete(first.id)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(first.id)


@covers("responses state")
def test_a_response_that_is_not_stored_is_not_found(client: openai.OpenAI) -> None:
    answer = client.responses.create(model=SMALL, input=QUESTION, temperature=0, store=False)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(answer.id)
    with pytest.raises((openai.NotFoundError, openai.BadRequestError)):
        client.responses.create(model=SMALL, input="And?", previous_response_id=answer.id)


@covers("models")
def test_models(client: openai.OpenAI) -> None:
    assert {SMALL, LONG, EMBED, HOSTED} <= {model.id for model in client.models.list()}
    assert client.models.retrieve(SMALL).id == SMALL
    with pytest.raises(openai.NotFoundError) as caught:
        client.models.retrieve("abacus-huge")
    assert caught.value.code == "model_not_found"
