"""openai-python: errors as the SDK's own classes, its retries, and streams that break off, at the live cluster."""

from collections.abc import Callable
from typing import Any

import openai
import pytest

from tests.clients.asked import FAULTS, HOSTED, MESSAGES, QUESTION, breaking, chat_tools
from tests.clients.matrix import matrix_column
from tests.figures import Figure

covers = matrix_column("openai-python")


@covers("errors")
def test_errors_are_the_sdks_own_classes(client: openai.OpenAI, chat: Callable[..., Any], hits: list[str]) -> None:
    with pytest.raises(openai.NotFoundError) as missing:
        chat(model="abacus-huge")
    with pytest.raises(openai.BadRequestError) as bad:
        chat(temperature=9)
    with pytest.raises(openai.AuthenticationError) as wrong:
        client.with_options(api_key="mr-wrong").models.list()
    assert (missing.value.code, missing.value.param) == ("model_not_found", "model")
    assert bad.value.param == "temperature"
    assert wrong.value.code == "invalid_api_key"
    assert all(error.value.request_id and error.value.type for error in (missing, bad, wrong))
    assert len(hits) == 3


@covers("errors")
@pytest.mark.parametrize(
    "bad",
    [
        {"messages": [{"role": "user", "content": "7 " * 2000}]},
        {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "odd"}}}},
        {"tools": chat_tools(), "tool_choice": {"type": "function", "function": {"name": "nobody"}}},
        {"max_tokens": 100_000},
    ],
    ids=["context", "schema", "unknown tool", "max_tokens"],
)
def test_what_an_engine_refuses_has_all_four_keys(chat: Callable[..., Any], bad: dict[str, Any]) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        chat(**bad)
    assert isinstance(caught.value.body, dict)
    assert sorted(caught.value.body) == ["code", "message", "param", "type"]
    assert caught.value.code is None or isinstance(caught.value.code, str)


@covers("retries")
@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_refusing_upstream_is_asked_again_and_then_raised(
    chat: Callable[..., Any], client: openai.OpenAI, hits: list[str], status: int
) -> None:
    script = {"stand_in": {"status": status, "retry_after": "1"}}
    with pytest.raises(openai.APIStatusError) as caught:
        client.with_options(max_retries=1).chat.completions.create(model=HOSTED, messages=MESSAGES, extra_body=script)
    assert caught.value.status_code in (429, 503)
    assert int(caught.value.response.headers["retry-after"]) <= 120
    assert len(hits) == 2


@covers("retries")
def test_what_cannot_be_cured_is_asked_once(chat: Callable[..., Any], hits: list[str], figure: Figure) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        chat(n=0)
    assert caught.value.response.headers["x-should-retry"] == "false"
    figure("requests for a call that cannot succeed, openai-python", len(hits), "", 1)
    assert len(hits) == 1


@covers("stream endings")
@pytest.mark.parametrize("fault", FAULTS)
def test_a_stream_that_breaks_off_raises(client: openai.OpenAI, hits: list[str], fault: str) -> None:
    script: Any = {"stand_in": breaking(fault)}
    with pytest.raises(openai.APIError) as caught:
        for _ in client.chat.completions.create(model=HOSTED, messages=MESSAGES, stream=True, extra_body=script):
            pass
    assert caught.value.code
    assert len(hits) == 1


@covers("stream endings")
@pytest.mark.parametrize("fault", FAULTS)
def test_a_response_that_breaks_off_says_failed(client: openai.OpenAI, fault: str) -> None:
    script: Any = {"stand_in": breaking(fault)}
    last = None
    try:
        for event in client.responses.create(model=HOSTED, input=QUESTION, stream=True, extra_body=script):
            last = event
    except openai.APIError as error:
        assert error.code  # noqa: PT017 — raising after `response.failed` is as good as ending
    assert last is not None
    assert last.type == "response.failed"
