"""The demo's client against the real gateway: text, timing, cost and who answered, streamed or whole."""

from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from benchmarks.demo.asking import Client
from models.abacus.tasks import Band, Problem, held_out
from tests.doubles.running_gateway import GatewayServer, House, running_gateway
from tests.doubles.stand_in_process import running_stand_in

PROBLEM = Problem("sort", Band.EASY, "Sort 4 2 3.", "2 3 4", "sort:2 3 4")


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("stand-ins")
    with ExitStack() as stack:
        yield House(*(stack.enter_context(running_stand_in(folder)) for _ in range(3)))


@pytest.fixture
async def gateway(house: House, tmp_path: Path) -> AsyncIterator[GatewayServer]:
    for stand_in in house.all:
        stand_in.reset()
    async with running_gateway(house, tmp_path) as server:
        await server.stop_probing()
        yield server


@pytest.fixture
async def client(gateway: GatewayServer) -> AsyncIterator[Client]:
    client = Client(gateway.url, gateway.key)
    yield client
    await client.close()


@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
async def test_an_answer_with_who_when_and_how_much(client: Client, stream: bool) -> None:
    answer = await client.ask(PROBLEM, stream=stream)
    assert answer.error == ""
    assert answer.right
    assert (answer.model, answer.tier, answer.attempts, answer.stand_in) == ("small-model", "small", 1, False)
    assert answer.streamed is stream
    assert answer.ttft_s > 0
    assert answer.cost_usd > 0


@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
async def test_a_fallback_to_the_hosted_tier_is_marked(house: House, client: Client, stream: bool) -> None:
    for engine in (house.small, house.large):
        engine.script(default={"status": 503})
    answer = await client.ask(PROBLEM, stream=stream)
    assert answer.right
    assert (answer.tier, answer.stand_in) == ("hosted", True)
    assert answer.attempts == 3


async def test_a_wrong_answer_is_wrong(house: House, client: Client) -> None:
    house.small.script({"answer": "4 3 2"})
    answer = await client.ask(PROBLEM, stream=False)
    assert not answer.right
    assert answer.error == ""


async def test_a_stream_cut_short_is_an_error_and_not_raised(house: House, client: Client) -> None:
    house.small.script({"cut_after": 4})
    answer = await client.ask(PROBLEM, stream=True)
    assert answer.error
    assert not answer.right


async def test_a_refused_key_is_an_error_and_not_raised(gateway: GatewayServer) -> None:
    client = Client(gateway.url, "mr-wrong")
    answer = await client.ask(held_out(1)[0], stream=False)
    await client.close()
    assert "401" in answer.error
