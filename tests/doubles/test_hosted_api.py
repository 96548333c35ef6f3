"""The stand-in behaves as it is scripted, says what it is, and counts what it saw; driven as clients drive it."""

import json
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.doubles.stand_in_process import StandInProcess, running_stand_in, until

ASKED = [{"role": "user", "content": "Sort 4 2 3."}]


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandInProcess]:
    with running_stand_in(tmp_path_factory.mktemp("stand-in")) as running:
        yield running


@pytest.fixture
def stand_in(process: StandInProcess) -> StandInProcess:
    process.reset()
    return process


@pytest.fixture
def client(stand_in: StandInProcess) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=stand_in.base_url, api_key=stand_in.key, max_retries=0) as client:
        yield client


def test_answers_and_says_what_it_is(client: openai.OpenAI) -> None:
    raw = client.chat.completions.with_raw_response.create(model="gpt", messages=ASKED)
    answer = raw.parse()
    assert raw.headers["x-millrace-stand-in"] == "true"
    assert answer.choices[0].message.content == "2 3 4"
    assert "stand-in" in answer.model
    assert answer.system_fingerprint == "stand-in"


def test_unknown_prompt_is_told_so(client: openai.OpenAI) -> None:
    messages = [{"role": "user", "content": "Who are you?"}]
    answer = client.chat.completions.create(model="stand-in-1", messages=messages)
    assert "stand-in" in str(answer.choices[0].message.content)


def test_stream_is_role_first_then_words_finish_usage(client: openai.OpenAI) -> None:
    chunks = list(
        client.chat.completions.create(
            model="stand-in-1", messages=ASKED, stream=True, stream_options={"include_usage": True}
        )
    )
    assert chunks[0].choices[0].delta.role == "assistant"
    assert [chunk.choices[0].finish_reason for chunk in chunks[:-1]] == [None, None, None, None, "stop"]
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks[:-1]) == "2 3 4"
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 3


def test_usage_chunk_only_when_asked(client: openai.OpenAI) -> None:
    chunks = list(client.chat.completions.create(model="stand-in-1", messages=ASKED, stream=True))
    assert all(chunk.usage is None for chunk in chunks)


def test_max_tokens_cuts_the_answer(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model="stand-in-1", messages=ASKED, max_tokens=2)
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 2


def test_completions_responses_and_embeddings(client: openai.OpenAI) -> None:
    assert client.completions.create(model="stand-in-1", prompt="Double 4.").choices[0].text == "8"
    assert client.responses.create(model="stand-in-1", input="Double 4.").output_text == "8"
    vectors = client.embeddings.create(model="stand-in-1", input=["a", "b", "a"]).data
    assert vectors[0].embedding == vectors[2].embedding != vectors[1].embedding


def test_responses_stream_is_accepted_by_the_client(client: openai.OpenAI) -> None:
    with client.responses.stream(model="stand-in-1", input="Reverse a b c.") as events:
        numbers = [event.sequence_number for event in events]
        assert events.get_final_response().output_text == "c b a"
    assert numbers == sorted(set(numbers))


def test_messages_stream_has_the_event_order_of_the_api(stand_in: StandInProcess) -> None:
    body = {"model": "stand-in-1", "max_tokens": 9, "messages": ASKED, "stream": True}
    raw = post(f"{stand_in.base_url}/messages", body, {"x-api-key": stand_in.key})
    names = [line.removeprefix("event: ") for line in raw.decode().splitlines() if line.startswith("event: ")]
    assert names[:2] == ["message_start", "content_block_start"]
    assert names[-3:] == ["content_block_stop", "message_delta", "message_stop"]
    assert set(names[2:-3]) == {"content_block_delta"}


def test_same_request_gives_the_same_bytes(stand_in: StandInProcess) -> None:
    body = {"model": "stand-in-1", "messages": ASKED, "stream": True}
    first, second = (post(f"{stand_in.base_url}/chat/completions", body, bearer(stand_in)) for _ in range(2))
    assert first == second


def test_wrong_key_is_refused_and_counted(client: openai.OpenAI, stand_in: StandInProcess) -> None:
    with pytest.raises(openai.AuthenticationError):
        client.with_options(api_key="wrong").models.list()
    assert stand_in.state()["refused_keys"] == 1
    assert [entry.id for entry in client.models.list()] == ["stand-in-1"]


def test_scripts_come_in_order_then_the_default(client: openai.OpenAI, stand_in: StandInProcess) -> None:
    stand_in.script({"status": 429, "retry_after": "7"}, {"status": 503}, default={"answer": "the default"})
    with pytest.raises(openai.RateLimitError) as limited:
        client.chat.completions.create(model="stand-in-1", messages=ASKED)
    assert limited.value.response.headers["retry-after"] == "7"
    with pytest.raises(openai.InternalServerError):
        client.chat.completions.create(model="stand-in-1", messages=ASKED)
    for _ in range(2):
        answer = client.chat.completions.create(model="stand-in-1", messages=ASKED)
        assert answer.choices[0].message.content == "the default"


@pytest.mark.parametrize("where", ["header", "body"])
def test_a_request_can_bring_its_own_script(client: openai.OpenAI, where: str) -> None:
    script = {"answer": "my own"}
    extra: dict[str, Any] = (
        {"extra_headers": {"x-stand-in-script": json.dumps(script)}}
        if where == "header"
        else {"extra_body": {"stand_in": script}}
    )
    answer = client.chat.completions.create(model="stand-in-1", messages=ASKED, **extra)
    assert answer.choices[0].message.content == "my own"


@pytest.mark.parametrize("order", [{"default": {"statsu": 500}}, {"nxet": []}], ids=["script", "order"])
def test_misspelt_script_is_refused(stand_in: StandInProcess, order: dict[str, Any]) -> None:
    with pytest.raises(urllib.error.HTTPError) as refused:
        post(f"{stand_in.url}/control/script", order, {})
    with refused.value as answer:
        assert answer.code == 400
        assert b"unknown key" in answer.read()


def test_unfinished_request_of_a_gone_client_is_cancelled(client: openai.OpenAI, stand_in: StandInProcess) -> None:
    stand_in.script({"hang": True})
    with pytest.raises(openai.APITimeoutError):
        client.with_options(timeout=0.3).chat.completions.create(model="stand-in-1", messages=ASKED)
    until(lambda: stand_in.state()["cancelled"] == 1, "the stand-in notices")
    assert stand_in.state()["in_flight"] == 0


def test_key_values_are_not_shown(client: openai.OpenAI, stand_in: StandInProcess) -> None:
    client.chat.completions.create(model="stand-in-1", messages=ASKED)
    assert stand_in.state()["last"]["headers"]["authorization"] == "the expected key"
    assert stand_in.key not in json.dumps(stand_in.state())


def test_unset_key_variable_is_a_configuration_error() -> None:
    command = [sys.executable, "-m", "tests.doubles.hosted_api", "--port", "0", "--key-env", "NOT_SET_ANYWHERE"]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[2], check=False)
    assert ended.returncode == 2
    assert "NOT_SET_ANYWHERE is not set" in ended.stderr


def bearer(stand_in: StandInProcess) -> dict[str, str]:
    return {"authorization": f"Bearer {stand_in.key}"}


def post(url: str, body: dict[str, Any], headers: dict[str, str]) -> bytes:
    request = urllib.request.Request(url, data=json.dumps(body).encode(), headers=headers, method="POST")
    with urllib.request.urlopen(request, timeout=20) as answer:
        raw: bytes = answer.read()
        return raw
