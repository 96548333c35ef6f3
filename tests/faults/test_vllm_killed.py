"""Real vLLM replicas killed, stopped and left: rows 1 to 5 and 24 of the fault matrix, through HAProxy and Serve.

Two replicas of one Abacus model, and clients that hold long streams beside a steady load of short requests. A killed
replica takes half a minute to come back, so the kills are few and many streams run at once. Seeded; timing is not.
"""

import asyncio
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from tests.clients.programs import NODE, install_node
from tests.cluster.fixtures import engine_entry, hosted_entry, running_cluster
from tests.cluster.live import LiveCluster, ask, wait_for
from tests.cluster.weights import abacus_weights
from tests.faults.asking import Client, Seen, eventually
from tests.faults.endings import Ending
from tests.faults.load import Load, steady
from tests.faults.readers import (
    ABRUPT,
    COMPLETE,
    FAILED,
    LIE,
    REFUSED,
    Asked,
    Read,
    anthropic_reader,
    node_reads,
    openai_reader,
    raw_reader,
    sdk_clients,
)  # fmt: skip
from tests.figures import Figure

SEED = 20261121
MODEL = "abacus-pair"
APPLICATION = f"engine-{MODEL}"
KILLS = 3
PER_S = 4.0
PROMPT = "Count the letters in apple."
LONG = Asked(MODEL, PROMPT, 400, {"ignore_eos": True, "min_tokens": 400})
FIRST_TOKEN_S = 10.0
SETTINGS = {"canary_interval_s": 1.0, "probe_timeout_s": 2.0}
BACK_S = 240.0
GOOD_AGAIN_BAR_S = 2.0
CANCEL_BAR_S = 1.0
MARGIN_S = 2.0

whole = pytest.mark.faults
cluster = [
    pytest.mark.cluster,
    pytest.mark.timeout(900),
    # the head outlives its `Popen`: it is ended by pid
    pytest.mark.filterwarnings("ignore:subprocess .* is still running:ResourceWarning"),
]
pytestmark = cluster


@pytest.fixture(scope="module")
def pair() -> Iterator[LiveCluster]:
    """HAProxy, two gateway replicas, two vLLM replicas of one model."""
    with running_cluster(_catalogue, [MODEL], SETTINGS) as running:
        wait_for(lambda: len(running.replicas(APPLICATION)) == 2, what="two replicas")
        wait_for(lambda: ask(f"{running.url}/ready").status == 200, what="the gateways to be ready")
        yield running


def _catalogue(folder: Path, hosted_url: str) -> Path:
    weights = abacus_weights(folder) / "abacus-small"
    entry: dict[str, Any] = engine_entry(
        MODEL, "small", weights, ["chat", "completions", "responses", "messages", "tools", "json"]
    )
    entry["engine"]["replicas"] = {"min": 2}
    entry["timeouts"] = {"connect_s": 1.0, "first_token_s": FIRST_TOKEN_S, "idle_s": 10.0, "total_s": 60.0}
    path = folder / "catalog.yaml"
    path.write_text(yaml.safe_dump({"ladder": ["small", "hosted"], "models": [entry, hosted_entry(hosted_url)]}))
    return path


def states(cluster: LiveCluster) -> list[dict[str, Any]]:
    """Every live replica's account of itself."""
    urls = cluster.replicas(APPLICATION).values()
    token = cluster.token
    return [ask(f"{url}/engine/state", token=token, timeout_s=5).json() for url in urls]


def whole_again(cluster: LiveCluster, dead: str) -> bool:
    """Are there two replicas, none of them `dead`, that have both generated something?"""
    found = cluster.replicas(APPLICATION)
    return len(found) == 2 and dead not in found and all(state["prompt_tokens"] > 0 for state in states(cluster))


@pytest.mark.row(1, 2, 4)
@whole
async def test_one_of_two_replicas_killed_under_load(
    pair: LiveCluster, session: aiohttp.ClientSession, figure: Figure
) -> None:
    await asyncio.to_thread(install_node)
    client, chance = Client(session, pair.url, pair.key), random.Random(SEED)
    over, endings = asyncio.Event(), dict[str, Counter[str]]()
    killed_at: list[float] = []
    async for sdks in sdk_clients(pair.url, pair.key):
        readers = {
            "raw": raw_reader(client, LONG),
            "openai-python": openai_reader(sdks.openai, LONG),
            "anthropic": anthropic_reader(sdks.anthropic, LONG),
        }
        reading = [
            asyncio.create_task(read_until(over, read, endings.setdefault(name, Counter())))
            for name, read in readers.items()
            for _ in range(2)
        ]
        node = asyncio.create_task(node_until(over, pair, endings.setdefault("openai-node", Counter())))
        async with steady(client, PER_S, short) as load:
            for _ in range(KILLS):
                await asyncio.sleep(chance.uniform(2, 4))
                victim = chance.choice(await asyncio.to_thread(states, pair))
                os.kill(victim["pid"], signal.SIGKILL)
                killed_at.append(time.monotonic())
                dead = victim["replica"]
                await eventually(lambda dead=dead: asyncio.to_thread(whole_again, pair, dead), "two", BACK_S, 0.5)
        over.set()
        await asyncio.gather(*reading, node)
    report_streams(figure, endings)
    report(figure, load, killed_at)


def short(number: int) -> dict[str, Any]:
    """The n-th request of the steady load: streamed and whole in turn."""
    return {"model": MODEL, "stream": number % 2 == 0, "prompt": PROMPT, "max_tokens": 16}


async def read_until(over: asyncio.Event, read: Read, endings: Counter[str]) -> None:
    """One stream after another."""
    while not over.is_set():
        endings[await read()] += 1


async def node_until(over: asyncio.Event, pair: LiveCluster, endings: Counter[str]) -> None:
    """openai-node, in runs of a few streams."""
    while not over.is_set():
        endings.update(await node_reads(pair.url, pair.key, LONG, 8, 2, NODE))


def report(figure: Figure, load: Load, killed_at: list[float]) -> None:
    """What the short requests saw."""
    bad = [seen for seen in load.answers if not seen.good]
    byteless = [seen for seen in bad if not (seen.status == 200 and seen.raw)]
    assert len(load.answers) > 10 * KILLS
    assert not any(seen.lies for seen in load.answers), str(next(seen for seen in load.answers if seen.lies))
    again = [min(seen.ended_at - at for seen in load.since(at) if seen.good) for at in killed_at]
    what = f"kill -9 of one of two vLLM replicas, {KILLS} times"
    figure(f"{what}: first good response", max(again), "s", GOOD_AGAIN_BAR_S, low=min(again), high=max(again))
    figure(f"{what}: requests without a byte that failed, of {len(load.answers)}", len(byteless), "", 0)
    unsaid = [seen for seen in bad if seen not in byteless and seen.stream and seen.verdict.ending is not Ending.FAILED]
    figure(f"{what}: cut streams without an error frame", len(unsaid), "", 0)
    for why, count in Counter(map(reason, byteless)).items():
        figure(f"{what}: of those {why}", count)
    late = sorted(round(min(abs(seen.ended_at - seen.took_s - at) for at in killed_at), 1) for seen in byteless)
    if late:
        figure(f"{what}: those were sent so long before or after a kill", late[len(late) // 2], "s", None,
               low=late[0], high=late[-1])  # fmt: skip


def reason(seen: Seen) -> str:
    """What a client without an answer was told."""
    return f"{seen.status} {seen.error['code']}" if seen.raw.startswith(b"{") else f"{seen.status} without a word"


def report_streams(figure: Figure, endings: dict[str, Counter[str]]) -> None:
    """How the long streams ended, by client."""
    whole = sum(endings.values(), Counter())
    what = f"{whole.total()} streams of vLLM, replicas killed {KILLS} times"
    figure(f"{what}: silent truncations", whole[LIE], "", 0)
    figure(f"{what}: failed without a byte", whole[REFUSED], "", 0)
    figure(f"{what}: cut, and said so with an error frame", whole[FAILED])
    figure(f"{what}: cut without one (abrupt close)", whole[ABRUPT], "", 0)
    for name, ended in endings.items():
        assert ended[COMPLETE], f"{name}: {ended}"
        figure(f"{what}: {name}, {ended.total()} streams, {ended[FAILED]} of them cut: lies", ended[LIE], "", 0)
    assert whole[FAILED], "no stream was cut: nothing was tested"


@pytest.mark.row(5)
@whole
async def test_a_stopped_engine_core(pair: LiveCluster, session: aiohttp.ClientSession, figure: Figure) -> None:
    client = Client(session, pair.url, pair.key)
    for gateways_ready in range(20):  # both gateway replicas have proven both engines
        assert (await client.ask(**short(gateways_ready))).good
    (hung, _) = await asyncio.to_thread(states, pair)
    stopped = [pid for pid in hung["pids"] if is_engine_core(pid)] or list(hung["pids"])
    async with steady(client, PER_S, short) as load:
        await asyncio.sleep(2.0)
        signal_all(stopped, signal.SIGSTOP)
        try:
            stopped_at = time.monotonic()
            load.answers += await client.ask_all([short(number // 2) for number in range(16)])
            await asyncio.sleep(8.0)
            quiet_from = time.monotonic()
            await asyncio.sleep(3.0)
            quiet_to = time.monotonic()
        finally:
            signal_all(stopped, signal.SIGCONT)
        before = hung["prompt_tokens"]
        back_s = await eventually(lambda: asyncio.to_thread(works, pair, hung["replica"], before), "it to work", 60)
    for seen in load.answers:
        assert seen.good, str(seen)
    for stream in (True, False):
        waits = [seen.first_byte_s or seen.took_s for seen in load.since(stopped_at - 1.0) if seen.stream == stream]
        mode = "streams" if stream else "unary"
        limit = FIRST_TOKEN_S + MARGIN_S
        figure(f"SIGSTOP of one of two vLLM engines: longest wait for a first byte, {mode}", max(waits), "s", limit)
    calm = [seen.took_s for seen in load.answers if quiet_from < seen.ended_at - seen.took_s < quiet_to]
    figure("SIGSTOP of one of two vLLM engines: longest answer once it is ejected", max(calm), "s", FIRST_TOKEN_S)
    figure("SIGCONT: requests reach it again after", back_s, "s", 10.0)


def signal_all(pids: list[int], number: signal.Signals) -> None:
    """Signal each."""
    for pid in pids:
        os.kill(pid, number)


def is_engine_core(pid: int) -> bool:
    """Is it vLLM's engine, and not one of its helpers?"""
    return b"EngineCore" in Path(f"/proc/{pid}/cmdline").read_bytes()


def works(pair: LiveCluster, replica: str, tokens: int) -> bool:
    """Does the replica take in prompts again?"""
    return any(state["replica"] == replica and state["prompt_tokens"] > tokens + 50 for state in states(pair))


@pytest.mark.row(24)
@whole
@pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
async def test_a_client_that_leaves(pair: LiveCluster, stream: bool, figure: Figure) -> None:
    await eventually(lambda: asyncio.to_thread(idle, pair), "idle engines")
    body = {"model": MODEL, "messages": [{"role": "user", "content": PROMPT}], "stream": stream, "max_tokens": 900,
            "min_tokens": 900, "ignore_eos": True}  # fmt: skip
    async with aiohttp.ClientSession() as own:
        asking = asyncio.create_task(_read(own, f"{pair.url}/v1/chat/completions", pair.key, body))
        await eventually(lambda: asyncio.to_thread(lambda: not idle(pair)), "an engine at work")
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
    took_s = await eventually(lambda: asyncio.to_thread(idle, pair), "the engine to let go")
    generated = sum(state["unfinished"] for state in await asyncio.to_thread(states, pair))
    assert generated == 0
    figure(f"client leaves, {'stream' if stream else 'unary'}: vLLM has let go", took_s, "s", CANCEL_BAR_S)


def idle(pair: LiveCluster) -> bool:
    """Nothing unfinished anywhere?"""
    return all(state["unfinished"] == 0 for state in states(pair))


async def _read(session: aiohttp.ClientSession, url: str, key: str, body: dict[str, Any]) -> None:
    async with session.post(url, json=body, headers={"authorization": f"Bearer {key}"}) as response:
        async for _ in response.content.iter_any():
            pass


@pytest.mark.row(2, 4)
async def test_the_only_replica_killed(live: LiveCluster, session: aiohttp.ClientSession) -> None:
    client, asked = Client(session, live.url, live.key), Asked("abacus-small", PROMPT, 400, dict(LONG.extra))
    begun = asyncio.Event()
    before = live.state("abacus-small")
    streams = [
        asyncio.create_task(
            client.ask(protocol, model=asked.model, prompt=PROMPT, max_tokens=800, on_byte=begun.set,
                       **({"ignore_eos": True, "min_tokens": 800} if protocol in ("chat", "completions") else {}))
        )
        for protocol in ("chat", "completions", "chat", "completions")
    ]  # fmt: skip
    await begun.wait()
    unary = [asyncio.create_task(client.ask(model="auto", stream=False, prompt=PROMPT)) for _ in range(4)]
    os.kill(before["pid"], signal.SIGKILL)
    for seen in await asyncio.gather(*streams):
        assert not seen.good
        assert seen.status == 503 or seen.verdict.ending is Ending.FAILED, str(seen)
    for seen in await asyncio.gather(*unary):
        assert seen.good, str(seen)
    dead = before["replica"]
    await eventually(lambda: asyncio.to_thread(live.replaced, "abacus-small", dead), "another replica", BACK_S, 0.5)
