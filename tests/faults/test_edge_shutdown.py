"""A gateway alone is told to stop while it answers: row 14 of the fault matrix.

What can finish in its time does; what cannot is told so in its own protocol; nobody is sent there any more.
"""

import asyncio
import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.cluster.live import ask
from tests.faults.asking import LONG, PROTOCOLS, Client, eventually
from tests.faults.endings import Ending
from tests.faults.processes import Behind, LoneGateway, engine_model, engines, listens, lone_gateway
from tests.faults.raw import address

MODEL = "engine"
PATIENT = {"first_token_s": 60.0, "idle_s": 60.0, "total_s": 300.0}
FINISHES: Mapping[str, Any] = {"answer": LONG, "delay_chunk_s": 0.05}
"""About two seconds."""
ENDLESS: Mapping[str, Any] = {"answer": LONG, "stall_after": 8}
NOTICE_S, GRACE_S = 2.0, 6.0


def not_ready(gateway: LoneGateway) -> bool:
    """Does it say that it stops?"""
    answer = ask(f"{gateway.url}/ready")
    return answer.status == 503 and answer.json()["error"]["code"] == "shutting_down"


@pytest.mark.row(14)
async def test_what_can_finish_does_and_the_rest_is_told(tmp_path: Path, session: aiohttp.ClientSession) -> None:
    begun: list[None] = []

    def ask_for(script: Mapping[str, Any], protocol: str, *, stream: bool = True) -> "asyncio.Task[Any]":
        asked = client.ask(protocol, model=MODEL, stream=stream, script=script, on_byte=lambda: begun.append(None))
        return asyncio.create_task(asked)

    with engines(1) as (engine,):
        behind = Behind([engine_model(MODEL, "small", **PATIENT)], {MODEL: [engine.url]}, ladder=("small",))
        with lone_gateway(tmp_path, behind, drain_notice_s=NOTICE_S, drain_timeout_s=GRACE_S) as gateway:
            client = Client(session, gateway.url, gateway.key)
            endless = [ask_for(ENDLESS, protocol) for protocol in PROTOCOLS]
            finishing = [ask_for(FINISHES, protocol) for protocol in PROTOCOLS]
            await eventually(lambda: len(begun) == len(endless) + len(finishing), "every stream has begun")
            unary = ask_for(ENDLESS, "chat", stream=False)
            await eventually(lambda: len(engine.stand_in.requests()) > len(begun), "the unary request is there")
            os.kill(gateway.pid, signal.SIGTERM)
            await eventually(lambda: asyncio.to_thread(not_ready, gateway), "it says that it stops", every_s=0.05)
            assert (await client.ask(model=MODEL, stream=False)).good, "it still answers whoever was sent to it"
            finished, cut, refused = await asyncio.gather(*finishing), await asyncio.gather(*endless), await unary
            await eventually(lambda: not listens(address(gateway.url)[1]), "it is gone")
    assert all(seen.good for seen in finished), [str(seen) for seen in finished]
    assert [seen.verdict.ending for seen in cut] == [Ending.FAILED] * len(cut), [str(seen) for seen in cut]
    codes = {seen.protocol: seen.verdict.code for seen in cut}
    assert codes.pop("messages") in {"shutting_down", "overloaded_error"}
    assert set(codes.values()) == {"shutting_down"}
    assert (refused.status, refused.error["code"]) == (503, "shutting_down")
    lines = {line["request_id"]: line["error"] for line in gateway.lines()}
    assert {lines[seen.request_id] for seen in [*cut, refused]} == {"shutting_down"}
