"""Clients that cost the gateway connections instead of work: rows 25 and 26 of the fault matrix.

They say nothing, half a head or half a body, or do not read. Each is closed when its time is over, and good traffic
beside them does not notice. Whole through HAProxy as shipped, reduced at the gateway's own port.
"""

import asyncio
import json
import time
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from statistics import quantiles

import aiohttp
import pytest

from tests.doubles.front_process import running_front
from tests.faults.asking import LONG, PATHS, Client, body_of, eventually, settled
from tests.faults.processes import Behind, Engine, engine_model, engines, lone_gateway
from tests.faults.raw import address, crowd, deaf, post
from tests.figures import Figure

MODEL = "engine"
CHAT = PATHS["chat"]
SHORT_S = 1.0
FEW, MANY = 30, 500
GOOD = 60
ROUNDS, ROUND_S, EVERY_S = 8, 5.0, 0.02
FLOOD = " ".join(["x" * 16_000] * 2_000)
"""32 MB, far more than any socket holds."""
MB = 1024 * 1024


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    """The one behind the gateways here."""
    with engines(1) as (only,):
        yield only


def behind(engine: Engine) -> Behind:
    """One model."""
    slow = {"first_token_s": 30.0, "idle_s": 30.0, "total_s": 60.0}
    return Behind([engine_model(MODEL, "small", **slow)], {MODEL: [engine.url]}, ladder=("small",))


def beginnings(key: str) -> list[bytes]:
    """What a slow client says, one kind each: nothing, half a head, half a body."""
    return [b"", post(CHAT, key)[:-4], post(CHAT, key, b'{"model": ', declared=1000)]


@pytest.mark.row(26)
async def test_slow_clients_are_closed_and_cost_nothing(
    tmp_path: Path, engine: Engine, session: aiohttp.ClientSession
) -> None:
    timeouts = {"header_timeout_s": SHORT_S, "body_timeout_s": SHORT_S, "keep_alive_timeout_s": SHORT_S}
    with lone_gateway(tmp_path, behind(engine), **timeouts) as gateway:
        client = Client(session, gateway.url, gateway.key)
        async with crowd(gateway.url, beginnings(gateway.key), FEW) as slow:
            answers = await client.ask_all([{"model": MODEL, "stream": False}] * GOOD)
            assert all(seen.good for seen in answers)
            await eventually(lambda: slow.closed == FEW, "every slow client is closed")


@pytest.mark.faults
@pytest.mark.row(26)
@pytest.mark.timeout(600)
async def test_five_hundred_slow_clients(
    tmp_path: Path, engine: Engine, session: aiohttp.ClientSession, figure: Figure
) -> None:
    alone: list[list[float]] = []
    beside: list[list[float]] = []
    with (
        lone_gateway(tmp_path, behind(engine)) as gateway,
        running_front(tmp_path, ports=[address(gateway.url)[1]]) as front,
    ):
        client = Client(session, front.url, gateway.key)
        await pace(client, ROUND_S)
        for number in range(ROUNDS):
            if number % 2:  # whatever drifts meets both alike
                alone.append(await pace(client, ROUND_S))
            async with crowd(front.url, beginnings(gateway.key), MANY):
                beside.append(await pace(client, ROUND_S))
            if not number % 2:
                alone.append(await pace(client, ROUND_S))
        async with crowd(front.url, beginnings(gateway.key), MANY) as slow:
            closed_s = await eventually(lambda: slow.closed == MANY, "every slow client is closed", within_s=60.0)
    slowed, usual = p99([*chain(*beside)]), p99([*chain(*alone)])
    ratio = slowed / usual
    rounds = [p99(one) / p99(other) for one, other in zip(beside, alone, strict=True)]
    figure(f"p99 of good traffic, {MANY} slow clients", 1000 * slowed, "ms")
    figure("p99 of good traffic, none", 1000 * usual, "ms")
    figure(f"p99 beside {MANY} slow clients / without", ratio, "", 1.2, ratio <= 1.2, low=min(rounds), high=max(rounds))
    figure(f"{MANY} slow clients closed after", closed_s, "s")


def p99(values: list[float]) -> float:
    """The 99th percentile."""
    return quantiles(values, n=100)[98]


async def pace(client: Client, for_s: float) -> list[float]:
    """Seconds each of the unary requests took that were sent at a steady pace; all of them good."""
    asked: list[asyncio.Task[float]] = []
    end = time.monotonic() + for_s
    while time.monotonic() < end:
        asked.append(asyncio.create_task(_timed(client)))
        await asyncio.sleep(EVERY_S)
    return list(await asyncio.gather(*asked))


async def _timed(client: Client) -> float:
    seen = await client.ask(model=MODEL, stream=False)
    assert seen.good, str(seen)
    return seen.took_s


@pytest.mark.row(25)
async def test_who_does_not_read_is_cut_and_nobody_else(
    tmp_path: Path, engine: Engine, session: aiohttp.ClientSession, figure: Figure
) -> None:
    with lone_gateway(tmp_path, behind(engine), write_timeout_s=SHORT_S) as gateway:
        client = Client(session, gateway.url, gateway.key)
        usual: list[dict[str, object]] = [{"model": MODEL, "script": {"answer": LONG, "delay_chunk_s": 0.05}}] * 8
        await client.ask_all(usual)
        before = gateway.resident_bytes()
        await asyncio.to_thread(engine.stand_in.script, default={"answer": FLOOD})
        body = json.dumps(body_of("chat", model=MODEL, stream=True, max_tokens=4000)).encode()
        request = post(CHAT, gateway.key, body, b"x-request-id: deaf")
        listener = await asyncio.to_thread(deaf, gateway.url, request)
        try:
            beside = await client.ask_all(usual)
            assert all(seen.good for seen in beside), [str(seen) for seen in beside]
            await eventually(lambda: "deaf" in {line["request_id"] for line in gateway.lines()}, "it is settled")
            grown = gateway.resident_bytes("VmHWM") - before
        finally:
            listener.close()
            await asyncio.to_thread(engine.stand_in.reset)
    (line,) = [line for line in gateway.lines() if line["request_id"] == "deaf"]
    assert line["error"] in {"client_too_slow", "client_closed"}
    assert grown < len(FLOOD) / 2, "the gateway held what its client did not take"
    figure("memory for one stream nobody reads", grown / MB, "MB", 8.0, grown / MB <= 8.0)
    await settled(gateway, beside)
