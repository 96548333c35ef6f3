"""How the real SDKs read every ending of a stream: nothing that was cut short ends normally for them."""

from typing import Any

import anthropic
import openai
import pytest

from models.spec import Timeouts
from tests.doubles.running_gateway import ASKED, GatewayServer, House, ladder_catalog, running_gateway

ENDINGS: dict[str, dict[str, Any]] = {
    "reset": {"cut_after": 6},
    "clean end": {"end_after": 6},
    "error in the stream": {"error_after": 6},
    "silence": {"stall_after": 6},
}
SAID = "one two three four five six"
SLOWLY = {"delay_chunk_s": 0.01, "answer": SAID}
HURRIED = Timeouts(first_token_s=5.0, idle_s=0.3, total_s=5.0)


@pytest.fixture
async def hurried(house: House, tmp_path: Any) -> Any:
    """A gateway that does not wait long for the next token, and comments while it does."""
    async with running_gateway(
        house, tmp_path, catalog=ladder_catalog(house, timeouts=HURRIED), keepalive_s=0.05
    ) as at:
        await at.stop_probing()
        yield at


def openai_client(gateway: GatewayServer) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key=gateway.key, max_retries=0)


async def chat(gateway: GatewayServer) -> str:
    async with openai_client(gateway) as client:
        stream = await client.chat.completions.create(model="auto", messages=ASKED, stream=True)
        return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])


async def completions(gateway: GatewayServer) -> str:
    async with openai_client(gateway) as client:
        stream = await client.completions.create(model="auto", prompt="Sort 4 2 3.", stream=True)
        return "".join([chunk.choices[0].text async for chunk in stream])


async def responses(gateway: GatewayServer) -> str:
    async with openai_client(gateway) as client:
        stream = await client.responses.create(model="auto", input="Sort 4 2 3.", stream=True)
        return "".join([event.delta async for event in stream if event.type == "response.output_text.delta"])


async def responses_helper(gateway: GatewayServer) -> str:
    """The SDK's own accumulation, which insists on the order of events."""
    async with openai_client(gateway) as client, client.responses.stream(model="auto", input="Sort 4 2 3.") as stream:
        return str((await stream.get_final_response()).output_text)


async def messages(gateway: GatewayServer) -> str:
    async with (
        anthropic.AsyncAnthropic(base_url=gateway.url, api_key=gateway.key, max_retries=0) as client,
        client.messages.stream(model="auto", max_tokens=16, messages=ASKED) as stream,  # type: ignore[arg-type]
    ):
        return "".join([text async for text in stream.text_stream])


CLIENTS = {client.__name__: client for client in (chat, completions, responses, responses_helper, messages)}


@pytest.mark.parametrize("client", CLIENTS.values(), ids=CLIENTS.keys())
@pytest.mark.parametrize("script", ENDINGS.values(), ids=ENDINGS.keys())
async def test_an_answer_that_was_cut_short_raises(hurried: GatewayServer, client: Any, script: dict[str, Any]) -> None:
    hurried.house.small.script(SLOWLY | script)
    with pytest.raises((openai.APIError, anthropic.APIError)) as failed:
        await client(hurried)
    assert "stream" in str(failed.value) or "closed" in str(failed.value) or "in time" in str(failed.value)
    assert hurried.house.large.state()["requests"] == 0


@pytest.mark.parametrize("client", CLIENTS.values(), ids=CLIENTS.keys())
async def test_a_whole_answer_behind_comments_is_read_whole(hurried: GatewayServer, client: Any) -> None:
    hurried.house.small.script(SLOWLY | {"delay_head_s": 0.2})
    assert await client(hurried) == SAID


@pytest.mark.parametrize("client", CLIENTS.values(), ids=CLIENTS.keys())
async def test_an_error_before_the_first_token_fails_over(hurried: GatewayServer, client: Any) -> None:
    held = 0 if client is completions else 1
    hurried.house.small.script(default={"error_after": held, "delay_chunk_s": 0.01})
    hurried.house.large.script({"answer": SAID})
    assert await client(hurried) == SAID
    assert hurried.house.large.state()["requests"] == 1


@pytest.mark.parametrize("client", CLIENTS.values(), ids=CLIENTS.keys())
async def test_a_failure_everywhere_behind_comments_raises(hurried: GatewayServer, client: Any) -> None:
    for stand_in in hurried.house.all:
        stand_in.script(default={"delay_head_s": 0.15, "status": 500})
    with pytest.raises((openai.APIError, anthropic.APIError)):
        await client(hurried)
