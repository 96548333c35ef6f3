"""The Responses API as clients use it: real gateways on real sockets, two of them over one store, the OpenAI SDK."""

import shutil
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import openai
import pytest

from serving.keys import create_key
from tests.doubles.running_gateway import GatewayServer, House, eventually, running_gateway

RESPONSES = "/v1/responses"
ASKED = {"model": "small-model", "input": "Sort 4 2 3."}


@pytest.fixture
async def other(gateway: GatewayServer, house: House, tmp_path: Path) -> AsyncIterator[GatewayServer]:
    """A second gateway of the same home."""
    async with running_gateway(house, tmp_path) as server:
        yield server


@pytest.fixture
async def client(gateway: GatewayServer) -> AsyncIterator[openai.AsyncOpenAI]:
    """The SDK at the first gateway."""
    async with sdk(gateway) as client:
        yield client


def sdk(server: GatewayServer, key: str | None = None) -> openai.AsyncOpenAI:
    """The SDK at a gateway."""
    return openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key=key or server.key, max_retries=0)


async def test_three_turns_and_retrieval_from_the_other_gateway(
    client: openai.AsyncOpenAI, other: GatewayServer
) -> None:
    first = await client.responses.create(model="small-model", input="Sort 4 2 3.")
    async with sdk(other) as elsewhere:
        second = await elsewhere.responses.create(model="small-model", input="Double 4.", previous_response_id=first.id)
        third = await client.responses.create(
            model="small-model", input="Sort 9 8.", previous_response_id=second.id, store=False
        )
        assert await elsewhere.responses.retrieve(first.id) == first
    assert (first.output_text, second.output_text, third.output_text) == ("2 3 4", "8", "8 9")
    told = other.house.small.state()["last"]["body"]["input"]
    assert [item["content"] for item in told] == ["Sort 4 2 3.", "2 3 4", "Double 4.", "8", "Sort 9 8."]
    with pytest.raises(openai.NotFoundError) as missing:
        await client.responses.retrieve(third.id)
    assert missing.value.code == "response_not_found"


async def test_the_sdks_stream_is_kept(client: openai.AsyncOpenAI, other: GatewayServer) -> None:
    async with client.responses.stream(model="small-model", input="Sort 4 2 3.") as stream:
        kinds = [event.type async for event in stream]
        final = await stream.get_final_response()
    assert kinds[0] == "response.created"
    assert kinds[-1] == "response.completed"
    async with sdk(other) as elsewhere:
        kept = await elsewhere.responses.retrieve(final.id)
    assert (kept.id, kept.output_text, kept.status) == (final.id, "2 3 4", "completed")


async def test_the_sdk_lists_items_and_deletes(client: openai.AsyncOpenAI, other: GatewayServer) -> None:
    turns = [{"role": "user", "content": str(number)} for number in range(5)]
    made = await client.responses.create(model="small-model", input=turns)  # type: ignore[arg-type]
    async with sdk(other) as elsewhere:
        listed = [item async for item in elsewhere.responses.input_items.list(made.id, limit=2, order="asc")]
        await elsewhere.responses.delete(made.id)
    assert [item.content[0].text for item in listed] == ["0", "1", "2", "3", "4"]  # type: ignore[union-attr]
    with pytest.raises(openai.NotFoundError):
        await client.responses.retrieve(made.id)


async def test_a_background_response_is_cancelled_through_the_other_gateway(
    client: openai.AsyncOpenAI, other: GatewayServer, house: House
) -> None:
    house.small.script(default={"hang": True})
    made = await client.responses.create(model="small-model", input="Sort 4 2 3.", background=True)
    assert made.status == "queued"
    await eventually(lambda: house.small.state()["in_flight"], "the model works on it")
    async with sdk(other) as elsewhere:
        cancelled = await elsewhere.responses.cancel(made.id)
    assert cancelled.status == "cancelled"
    await eventually(lambda: house.small.state()["cancelled"], "the model is told to stop")
    assert (await client.responses.retrieve(made.id)).status == "cancelled"


async def test_a_background_response_is_finished_for_whoever_asks(
    client: openai.AsyncOpenAI, other: GatewayServer
) -> None:
    made = await client.responses.create(model="small-model", input="Sort 4 2 3.", background=True)
    async with sdk(other) as elsewhere:
        seen = made

        async def has_ended() -> bool:
            nonlocal seen
            seen = await elsewhere.responses.retrieve(made.id)
            return seen.status not in ("queued", "in_progress")

        await eventually(has_ended, "it has ended")
    assert (seen.status, seen.output_text) == ("completed", "2 3 4")


async def test_tokens_used_in_the_background_count_towards_the_limit(house: House, tmp_path: Path) -> None:
    def left(headers: Mapping[str, str]) -> int:
        return int(headers["x-ratelimit-remaining-tokens"])

    async with running_gateway(house, tmp_path, tokens_per_minute=1000) as server:
        await server.stop_probing()
        house.small.script(default={"answer": "one " * 700})
        before = await server.ask(RESPONSES, json=ASKED | {"background": True})
        url = f"{RESPONSES}/{before.json()['id']}"

        async def has_ended() -> bool:
            return bool((await server.get(url)).json()["status"] == "completed")

        await eventually(has_ended, "it has ended")
        house.small.reset()
        after = await server.ask(RESPONSES, json=ASKED)
    assert left(before.headers) > 900
    assert left(after.headers) < 600


async def test_what_is_kept_outlives_the_gateway_and_stays_with_its_tenant(house: House, tmp_path: Path) -> None:
    rival_key = create_key(tmp_path / "keys.json", "rival")
    async with running_gateway(house, tmp_path) as server:
        made = (await server.ask(RESPONSES, json=ASKED)).json()
    async with running_gateway(house, tmp_path) as server:
        own = await server.get(f"{RESPONSES}/{made['id']}")
        rival = await server.get(f"{RESPONSES}/{made['id']}", key=rival_key)
    assert (own.status, own.json()) == (200, made)
    assert (rival.status, rival.error["code"]) == (404, "response_not_found")
    assert rival.headers["x-request-id"]
    assert rival.headers["x-should-retry"] == "false"


async def test_a_broken_store_hurts_only_who_needs_it(house: House, tmp_path: Path) -> None:
    (tmp_path / "state.db").mkdir()
    async with running_gateway(house, tmp_path) as server:
        await server.stop_probing()
        kept = await server.ask(RESPONSES, json=ASKED)
        free = await server.ask(RESPONSES, json=ASKED | {"store": False})
        stream = await server.ask(RESPONSES, json=ASKED | {"store": False, "stream": True})
        chat = await server.chat()
        shutil.rmtree(tmp_path / "state.db")
    assert (kept.status, kept.error["code"], kept.headers["retry-after"]) == (503, "store_unavailable", "5")
    assert (free.status, stream.status, chat.status) == (200, 200, 200)
    assert b"response.completed" in stream.body


async def test_a_client_that_leaves_while_it_is_streamed_keeps_nothing(gateway: GatewayServer, house: House) -> None:
    house.small.script(default={"stall_after": 6})
    body = ASKED | {"stream": True}
    headers = {"authorization": f"Bearer {gateway.key}"}
    async with gateway.session.post(gateway.url + RESPONSES, json=body, headers=headers) as response:
        seen = b""
        async for chunk in response.content.iter_any():
            seen += chunk
            if b"output_text.delta" in seen:
                break
        response.close()
    await eventually(lambda: house.small.state()["cancelled"], "the model is told to stop")
    id = seen.split(b'"id":"')[1].split(b'"')[0].decode()
    assert id.startswith("resp_")
    assert (await gateway.get(f"{RESPONSES}/{id}")).status == 404
