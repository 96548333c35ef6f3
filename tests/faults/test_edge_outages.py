"""The public door of a live cluster while a part of it dies or leaves: rows 9, 13 and 14 of the fault matrix.

What clients meet is measured with short requests at a steady pace and with streams that are under way. Figures go to
the table in docs/operations.md. Each test ends when everything is in its place again: the cluster is shared.
"""

import asyncio
import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.cluster.live import LiveCluster, wait_for
from tests.faults.asking import LONG, Client, Seen, eventually
from tests.faults.endings import Ending
from tests.faults.outage import steady
from tests.figures import Figure

pytestmark = [pytest.mark.faults]

MODEL = "stand-in"
STREAMS = 8
SETTLE_S = 2.0
"""Good traffic before a kill."""
BACK_S = 120.0
GRACE_S = 12.0
"""The time streams have when a gateway leaves."""
ENDLESS: Mapping[str, Any] = {"answer": LONG, "stall_after": 8}
"""Begins, and says nothing more for longer than any grace."""
SHORT: Mapping[str, Any] = {"answer": LONG, "delay_chunk_s": 0.15}
"""About six seconds."""


def gateways(live: LiveCluster) -> dict[str, int]:
    """Running gateway replicas as Serve sees them: id to process id."""
    replicas = live.application("gateway")["deployments"]["Gateway"]["replicas"]
    return {str(each["replica_id"]): int(each["pid"]) for each in replicas if each["state"] == "RUNNING"}


def two_gateways(live: LiveCluster, *, other_than: set[str] = frozenset()) -> dict[str, int]:  # type: ignore[assignment]
    """Both of them, once there are two."""
    return wait_for(
        lambda: (found := gateways(live)) and len(found) == 2 and not other_than & set(found) and found,
        what="two gateways",
        within_s=BACK_S,
    )


def haproxy_pids(live: LiveCluster) -> list[int]:
    """HAProxy processes of this cluster."""
    return [pid for pid in live.cluster.head.members() if _is_haproxy(pid)]  # type: ignore[union-attr]


def _is_haproxy(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0].endswith(b"/haproxy")
    except OSError:
        return False


def redeploy(live: LiveCluster, **settings: object) -> None:
    """Deploy the gateway anew with `settings`, as an operator would: Serve replaces one replica after the other."""
    gateway = next(each for each in live.base if each["name"] == "gateway")
    args = {**gateway["args"], "settings": {**gateway["args"]["settings"], **settings}}
    live.base[:] = [{**each, "args": args} if each is gateway else each for each in live.base]  # type: ignore[index]
    live.deploy(live.extra)


async def streams(client: Client, script: Mapping[str, Any]) -> "list[asyncio.Task[Seen]]":
    """Streams that have all begun."""
    begun: list[None] = []
    asked = [
        asyncio.create_task(client.ask(model=MODEL, script=script, on_byte=lambda: begun.append(None)))
        for _ in range(STREAMS)
    ]
    await eventually(lambda: len(begun) == STREAMS, "every stream has begun")
    return asked


@pytest.mark.row(13)
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=lambda number: number.name)
async def test_a_gateway_process_ends(
    live: LiveCluster, session: aiohttp.ClientSession, figure: Figure, number: signal.Signals
) -> None:
    before = await asyncio.to_thread(two_gateways, live)
    client = Client(session, live.url, live.key)
    running = await streams(client, SHORT)
    async with steady(live.url, live.key, model=MODEL) as traffic:
        await asyncio.sleep(SETTLE_S)
        victim, pid = next(iter(before.items()))
        killed = time.monotonic()
        os.kill(pid, number)
        await eventually(lambda: traffic.good_after(killed), "a good answer", within_s=BACK_S)
        await asyncio.to_thread(two_gateways, live, other_than={victim})
    seen = await asyncio.gather(*running)
    outage = traffic.outage(killed)
    assert not [each for each in seen if each.lies]
    assert any(each.good for each in seen), "the other gateway's streams go on"
    figure(f"gateway, {number.name}: first good response", outage.first_good_s, "s", 2.0, outage.first_good_s <= 2.0)
    figure(f"gateway, {number.name}: short requests failed", outage.failed, f"of {outage.asked}")
    figure(f"gateway, {number.name}: streams cut", sum(not each.good for each in seen), f"of {STREAMS}")


@pytest.mark.row(9)
async def test_haproxy_is_killed(live: LiveCluster, session: aiohttp.ClientSession, figure: Figure) -> None:
    await asyncio.to_thread(two_gateways, live)
    client = Client(session, live.url, live.key)
    running = await streams(client, SHORT)
    async with steady(live.url, live.key, model=MODEL) as traffic:
        await asyncio.sleep(SETTLE_S)
        pids = haproxy_pids(live)
        assert pids
        killed = time.monotonic()
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        await eventually(lambda: traffic.good_after(killed), "a good answer", within_s=BACK_S)
        await asyncio.sleep(SETTLE_S)
    seen = await asyncio.gather(*running)
    outage = traffic.outage(killed)
    assert not [each for each in seen if each.lies]
    figure("HAProxy killed: first good response", outage.first_good_s, "s", 28.0, outage.first_good_s < 28.0)
    figure("HAProxy killed: short requests failed", outage.failed, f"of {outage.asked}")
    figure("HAProxy killed: streams cut", sum(not each.good for each in seen), f"of {STREAMS}")


@pytest.mark.row(14)
async def test_gateways_are_replaced(live: LiveCluster, session: aiohttp.ClientSession, figure: Figure) -> None:
    first = await asyncio.to_thread(two_gateways, live)
    await asyncio.to_thread(redeploy, live, drain_timeout_s=GRACE_S)
    before = await asyncio.to_thread(two_gateways, live, other_than=set(first))
    client = Client(session, live.url, live.key)
    finishing, endless = await streams(client, SHORT), await streams(client, ENDLESS)
    async with steady(live.url, live.key, model=MODEL) as traffic:
        await asyncio.sleep(SETTLE_S)
        told = time.monotonic()
        await asyncio.to_thread(redeploy, live, drain_timeout_s=GRACE_S + 1)
        await asyncio.to_thread(two_gateways, live, other_than=set(before))
        seen = await asyncio.gather(*finishing)
        cut = await asyncio.gather(*endless)
    outage = traffic.outage(told)
    assert not [str(each) for each in seen if not each.good], "a stream that could finish was cut"
    assert {(each.verdict.ending, each.verdict.code) for each in cut} == {(Ending.FAILED, "shutting_down")}
    figure("gateways replaced: short requests failed", outage.failed, f"of {outage.asked}", 0, outage.failed == 0)
    figure("gateways replaced: streams that could finish and did", len(seen), f"of {STREAMS}")
