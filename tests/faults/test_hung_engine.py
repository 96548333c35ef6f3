"""Engines that are there and do nothing, or end on every call: rows 5 to 7 of the fault matrix, on stand-in processes.

Stopped with SIGSTOP, or answering health checks and nothing else; test_vllm_killed.py stops vLLM. Requests go to the
other engine, the hung one gets none until a real token has come from it.
"""

import asyncio
import json
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import aiohttp
import pytest

from tests.faults.asking import Client, eventually, settled
from tests.faults.load import Load, steady
from tests.faults.processes import Behind, Engine, LoneGateway, engine_model, engines, free_ports, lone_gateway
from tests.faults.stage import PATIENT
from tests.figures import Figure

MODEL = "pair"
PER_S = 10.0
WATCHFUL = {"canary_interval_s": 0.5, "probe_timeout_s": 0.5, "retry_floor": 100}
FIRST_TOKEN_S = 3.5
"""More than an engine's last silent answer, a probe and a look at its state take together."""
MARGIN_S = 0.5
"""On top of the first-token timeout: the other engine's own time."""
CRASHING_S = 8.0
BURST = [{"model": MODEL, "stream": number % 4 < 2} for number in range(16)]
"""At once, so that both engines get some of each kind."""


@pytest.fixture
def gateway(pair: list[Engine], tmp_path: Path) -> Iterator[LoneGateway]:
    """In front of them; it notices soon."""
    model = engine_model(MODEL, "small", first_token_s=FIRST_TOKEN_S, total_s=10.0)
    behind = Behind([model], {MODEL: [engine.url for engine in pair]}, ["small"])
    with lone_gateway(tmp_path, behind, **WATCHFUL) as running:
        yield running


def hang(engine: Engine, way: str) -> None:
    """`way`: stopped or silent."""
    if way == "stopped":
        engine.send(signal.SIGSTOP)
    else:
        engine.stand_in.script(default={"hang": True})


def cure(engine: Engine, way: str) -> None:
    """The opposite."""
    if way == "stopped":
        engine.send(signal.SIGCONT)
    else:
        engine.stand_in.script(default={})


@pytest.mark.parametrize(
    "way", [pytest.param("stopped", marks=pytest.mark.row(5)), pytest.param("silent", marks=pytest.mark.row(6))]
)
async def test_a_hung_engine_is_left_alone_until_it_proves_itself(
    gateway: LoneGateway, pair: list[Engine], session: aiohttp.ClientSession, way: str, figure: Figure
) -> None:
    client, hung = Client(session, gateway.url, gateway.key), pair[0]
    await eventually(lambda: gateway.metric("millrace_probes_total", outcome="passed") >= 2, "both engines")
    async with steady(client, PER_S, lambda number: {"model": MODEL, "stream": number % 2 == 0}) as load:
        await eventually(lambda: gateway.metric("millrace_requests_total") >= 10, "traffic to flow")
        hang(hung, way)
        hung_at = time.monotonic()
        burst = asyncio.create_task(client.ask_all(BURST))
        out_s = await eventually(lambda: service(gateway, "ejected") >= 1, "the engine to be ejected")
        load.answers += await burst
        await asyncio.sleep(1.0)
        cure(hung, way)
        cured_epoch, asked = time.time(), len(load.asked_at)
        back_s = await eventually(lambda: service(gateway, "readmitted") >= 1, "the engine to return")
        await eventually(lambda: proven_then_used(hung, cured_epoch), "requests to reach it again", within_s=20)
    assert asked < len(load.asked_at)
    await settled(gateway, load.answers)
    check(load, hung_at, figure, way)
    figure(f"engine {way}: ejected after", out_s, "s", FIRST_TOKEN_S + MARGIN_S)
    figure(f"engine {way}: back after it answers again", back_s, "s", FIRST_TOKEN_S + MARGIN_S)


def check(load: Load, hung_at: float, figure: Figure, way: str) -> None:
    """Every request was answered, none later than the first-token timeout and what the other engine takes."""
    for seen in load.answers:
        assert seen.good, str(seen)
    for stream in (True, False):
        waited = [seen.first_byte_s or seen.took_s for seen in load.since(hung_at - 1.0) if seen.stream == stream]
        mode = "streams" if stream else "unary"
        limit = FIRST_TOKEN_S + MARGIN_S
        figure(f"engine {way}: longest wait for a first byte, {mode}", max(waited), "s", limit)


def service(gateway: LoneGateway, event: str) -> float:
    """How often an engine was ejected or readmitted."""
    return gateway.metric("millrace_replica_service_total", event=event)


def proven_then_used(engine: Engine, since: float) -> bool:
    """Has a request reached it since then, and a probe before it? Requests sent before it hung do not count."""
    later = [request_id for request_id, at in engine.stand_in.requests() if at > since]
    probes = [place for place, request_id in enumerate(later) if request_id == "readiness-probe"]
    return bool(probes) and any(request_id != "readiness-probe" for request_id in later[probes[0] :])


@pytest.mark.row(7)
async def test_an_engine_that_ends_on_every_call(
    tmp_path: Path, session: aiohttp.ClientSession, figure: Figure
) -> None:
    with ExitStack() as stack:
        (good,) = stack.enter_context(engines(1))
        crashing = Engine(free_ports(1)[0], ["--script", json.dumps({"exit_after": 0})])
        stack.callback(crashing.kill)
        crashing.start()
        behind = Behind([engine_model(MODEL, "small", **PATIENT)], {MODEL: [crashing.url, good.url]}, ["small"])
        gateway = stack.enter_context(lone_gateway(tmp_path, behind, probe_interval_s=1.0))
        client = Client(session, gateway.url, gateway.key)
        over = asyncio.Event()
        supervisor = asyncio.create_task(keep_up(crashing, over))
        async with steady(client, PER_S, lambda number: {"model": MODEL, "stream": number % 2 == 0}) as load:
            await asyncio.sleep(CRASHING_S)
        crashes = crashing.starts - 1
        good.kill()
        alone = [await client.ask(model=MODEL, stream=stream) for stream in (True, False) for _ in range(3)]
        over.set()
        await supervisor
        await settled(gateway, [*load.answers, *alone])
    assert crashes >= 1
    bad = [seen for seen in load.answers if not seen.good]
    for seen in alone:
        assert seen.status in (502, 503), str(seen)
        assert seen.status == 502 or 0 < int(seen.headers["retry-after"]) <= 120
    assert not bad, str(bad[0])
    figure(
        f"crash loop of one of two engines, {CRASHING_S:g} s: requests that failed, of {len(load.answers)}",
        len(bad),
        "",
        0,
    )
    figure(f"crash loop of one of two engines: crashes in {CRASHING_S:g} s", crashes, "", CRASHING_S * 1.5)


async def keep_up(engine: Engine, over: asyncio.Event) -> None:
    """What Serve does: start it again as often as it ends."""
    while not over.is_set():
        if engine.ended():
            await asyncio.to_thread(engine.start, wait=False)
        await asyncio.sleep(0.1)
