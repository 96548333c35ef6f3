"""Engines killed with SIGKILL at random moments while clients read: rows 1 to 4 of the fault matrix, in volume.

The engines are stand-in processes, since vLLM takes half a minute to come back (the same is done to vLLM in
test_vllm_killed.py); the kills, the sockets and the clients are real. Seeded; the machine's timing is not.
"""

import asyncio
import random
import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import aiohttp
import pytest

from tests.clients.programs import NODE, install_node
from tests.faults.asking import LONG, PROMPT, Client, Seen, eventually, settled
from tests.faults.processes import Behind, Engine, LoneGateway, engine_model, lone_gateway
from tests.faults.readers import (
    ABRUPT,
    COMPLETE,
    FAILED,
    LIE,
    REFUSED,
    Asked,
    anthropic_reader,
    node_reads,
    openai_reader,
    raw_reader,
    read_many,
    sdk_clients,
)  # fmt: skip
from tests.faults.stage import PATIENT
from tests.figures import Figure

SEED = 20261121
MODEL = "pair"
TALK = {"answer": LONG, "delay_chunk_s": 0.03}
BETWEEN_KILLS_S = (0.1, 0.5)
AT_ONCE = 80
ASKED = Asked(MODEL, PROMPT, 64, {"stand_in": TALK})


@pytest.fixture
def gateway(pair: list[Engine], tmp_path: Path) -> Iterator[LoneGateway]:
    """In front of them. Kills come every half second here, so retries are not rationed."""
    behind = Behind([engine_model(MODEL, "small", **PATIENT)], {MODEL: [engine.url for engine in pair]}, ["small"])
    with lone_gateway(tmp_path, behind, retry_ratio=1, retry_floor=10_000, breaker_failure_share=1.0) as running:
        yield running


@contextmanager
def rationed(folder: Path, pair: list[Engine], **settings: object) -> Iterator[LoneGateway]:
    """In front of them with the budget and the breaker as they are shipped."""
    behind = Behind([engine_model(MODEL, "small", **PATIENT)], {MODEL: [engine.url for engine in pair]}, ["small"])
    with lone_gateway(folder, behind, **settings) as running:
        yield running


async def serving(engine: Engine) -> None:
    """Until the engine is asked something: a probe, or a client's request where its absence went unnoticed."""
    await eventually(engine.stand_in.requests, "a request")


@asynccontextmanager
async def killing(pair: list[Engine]):  # type: ignore[no-untyped-def]
    """Kills one of the two at random moments, and starts it again; yields the list of kills."""
    chance, kills, over = random.Random(SEED), list[int](), asyncio.Event()

    async def kill() -> None:
        while not over.is_set():
            await asyncio.sleep(chance.uniform(*BETWEEN_KILLS_S))
            victim = chance.choice(pair)
            kills.append(victim.pid)
            await asyncio.to_thread(victim.kill)
            await asyncio.to_thread(victim.start)
            await serving(victim)

    for engine in pair:
        await serving(engine)
    task = asyncio.create_task(kill())
    try:
        yield kills
    finally:
        over.set()
        await task


@pytest.mark.row(1, 2)
@pytest.mark.parametrize(
    ("streams", "node"),
    [pytest.param(80, 0, id="80"), pytest.param(1000, 200, id="1000", marks=pytest.mark.faults)],
)
async def test_no_stream_lies(
    gateway: LoneGateway, pair: list[Engine], session: aiohttp.ClientSession, streams: int, node: int, figure: Figure
) -> None:
    if node:
        await asyncio.to_thread(install_node)
    client = Client(session, gateway.url, gateway.key)
    python, claude = streams // 4, streams // 5
    async for sdks in sdk_clients(gateway.url, gateway.key):
        async with killing(pair) as kills:
            ended = await asyncio.gather(
                read_many(raw_reader(client, ASKED), streams - node - python - claude, 12),
                read_many(openai_reader(sdks.openai, ASKED), python, 6),
                read_many(anthropic_reader(sdks.anthropic, ASKED), claude, 6),
                *([node_reads(gateway.url, gateway.key, ASKED, node, 6, NODE)] if node else []),
            )
    by_client = dict(zip(("raw", "openai-python", "anthropic", "openai-node"), ended, strict=False))
    whole = sum(ended, Counter())
    assert whole.total() == streams
    assert kills
    for name, endings in by_client.items():
        assert endings[LIE] == 0, f"{name}: {endings}"
        assert endings[COMPLETE], f"{name}: {endings}"
    assert whole[FAILED], "no stream was cut: nothing was tested"
    report(figure, streams, len(kills), by_client)
    await eventually(lambda: len(gateway.lines()) >= streams, "every stream to be settled")
    assert len({line["request_id"] for line in gateway.lines()}) == len(gateway.lines()) == streams


def report(figure: Figure, streams: int, kills: int, by_client: dict[str, Counter[str]]) -> None:
    """The figures of one run."""
    whole = sum(by_client.values(), Counter())
    where = f"{streams} streams, stand-in engines killed {kills} times"
    figure(f"{where}: silent truncations", whole[LIE], "", 0)
    figure(f"{where}: cut, and said so with an error frame", whole[FAILED])
    figure(f"{where}: cut without one (abrupt close)", whole[ABRUPT])
    figure(f"{where}: complete", whole[COMPLETE])
    figure(f"{where}: refused before the first byte", whole[REFUSED])
    for name, endings in by_client.items():
        figure(f"{where}: {name}, {endings.total()} streams, {endings[FAILED]} of them cut: lies", endings[LIE], "", 0)


@pytest.mark.row(1, 4)
@pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
async def test_a_request_without_a_byte_is_answered_by_the_other(
    gateway: LoneGateway, pair: list[Engine], session: aiohttp.ClientSession, stream: bool
) -> None:
    client, victim = Client(session, gateway.url, gateway.key), pair[0]
    for engine in pair:
        await serving(engine)
        engine.stand_in.script(default={"delay_head_s": 2.0})
    asking = [asyncio.create_task(client.ask(model=MODEL, stream=stream)) for _ in range(8)]
    await eventually(lambda: sum(engine.stand_in.state()["in_flight"] for engine in pair) == 8, "all to be at work")
    pair[1].stand_in.script(default={})
    await asyncio.to_thread(victim.kill)
    answers = await asyncio.gather(*asking)
    lines = await settled(gateway, answers)
    for seen in answers:
        assert seen.good, str(seen)
    retried = [line for line in lines.values() if len(line["attempts"]) == 2]
    assert retried
    assert {line["attempts"][1]["reason"] for line in retried} == {"retry"}
    assert {line["attempts"][0]["outcome"] for line in retried} == {"upstream_disconnected"}


@pytest.mark.row(4)
async def test_all_that_a_killed_engine_worked_on_is_answered_by_the_other(
    pair: list[Engine], session: aiohttp.ClientSession, tmp_path: Path
) -> None:
    with rationed(tmp_path, pair, canary_interval_s=3600) as gateway:
        client = Client(session, gateway.url, gateway.key)
        for engine in pair:
            await serving(engine)
            engine.stand_in.script(default={"delay_head_s": 2.0})
        asking = [asyncio.create_task(client.ask(model=MODEL, stream=n % 2 == 0)) for n in range(AT_ONCE)]
        await eventually(lambda: sum(one.stand_in.state()["in_flight"] for one in pair) == AT_ONCE, "all to be at work")
        pair[1].stand_in.script(default={})
        await asyncio.to_thread(pair[0].kill)
        await check_all_rescued(gateway, await asyncio.gather(*asking))


@pytest.mark.row(5)
async def test_all_that_waits_for_a_stopped_engine_is_answered_by_the_other(
    pair: list[Engine], session: aiohttp.ClientSession, tmp_path: Path
) -> None:
    with rationed(tmp_path, pair, canary_interval_s=2.0, probe_timeout_s=0.5) as gateway:
        client = Client(session, gateway.url, gateway.key)
        for engine in pair:
            await serving(engine)
        pair[0].send(signal.SIGSTOP)
        answers = await client.ask_all([{"model": MODEL, "stream": n % 2 == 0} for n in range(AT_ONCE)])
        await check_all_rescued(gateway, answers)


async def check_all_rescued(gateway: LoneGateway, answers: list[Seen]) -> None:
    """All answered, though far more at once than the retry budget of a quiet minute has."""
    for seen in answers:
        assert seen.good, str(seen)
    lines = await settled(gateway, answers)
    assert sum(len(line["attempts"]) == 2 for line in lines.values()) > AT_ONCE / 3
