"""A client that leaves: row 24 of the fault matrix. Whoever works for it stops, and what was generated is settled."""

import asyncio
from typing import Any

import aiohttp
import pytest

from tests.doubles.stand_in_process import StandInProcess
from tests.faults.asking import LONG, PATHS, Client, body_of, eventually
from tests.faults.stage import ROLES, Stage
from tests.figures import Figure

CANCEL_BAR_S = 1.0
WHEN: dict[str, tuple[bool, dict[str, Any]]] = {
    "before the first token": (True, {"hang": True}),
    "in the middle of a stream": (True, {"stall_after": 8, "answer": LONG}),
    "before a whole answer": (False, {"hang": True}),
}


@pytest.mark.row(24)
@pytest.mark.parametrize("when", WHEN)
@pytest.mark.parametrize("role", ROLES)
async def test_the_work_is_cancelled(stage: Stage, client: Client, role: str, when: str, figure: Figure) -> None:
    stream, script = WHEN[when]
    before = stage.faulty.state()["cancelled"]
    body = body_of("chat", model=stage.fresh(role), stream=stream) | {"stand_in": script}
    request_id = f"leaver-{role}-{when.replace(' ', '-')}"
    await leave(stage, client, body, request_id)
    took_s = await eventually(lambda: stage.faulty.state()["cancelled"] > before, "the upstream to be cancelled")
    figure(f"client leaves {when}: {role} upstream cancelled", took_s, "s", CANCEL_BAR_S)
    await eventually(lambda: lines_of(stage, request_id), "the request to be settled")
    (line,) = lines_of(stage, request_id)
    assert line["status"] == 499
    assert line["attempts"][-1]["outcome"] == "cancelled"
    assert (line["output_tokens"] > 0) == (when == "in the middle of a stream")
    assert stage.gateway.metric("millrace_in_flight") == 0


async def leave(stage: Stage, client: Client, body: dict[str, Any], request_id: str) -> None:
    """Ask, wait until somebody works on it (and until the first byte of a stream that has one), and close."""
    seen_before = in_flight(stage.faulty)
    headers = {"authorization": f"Bearer {client.key}", "x-request-id": request_id}
    async with aiohttp.ClientSession() as own:
        asking = asyncio.create_task(_read(own, client.url + PATHS["chat"], body, headers))
        await eventually(lambda: in_flight(stage.faulty) > seen_before, "somebody to work on it")
        if body["stream"] and "stall_after" in body["stand_in"]:
            frames = stage.faulty.state()["frames"]
            await eventually(lambda: stage.faulty.state()["frames"] >= frames, "tokens to flow")
            await asyncio.sleep(0.1)  # the reader below is in the middle of the answer, whenever that is
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)


async def _read(session: aiohttp.ClientSession, url: str, body: dict[str, Any], headers: dict[str, str]) -> None:
    async with session.post(url, json=body, headers=headers) as response:
        async for _ in response.content.iter_any():
            pass


def in_flight(stand_in: StandInProcess) -> int:
    """Requests the stand-in works on."""
    return int(stand_in.state()["in_flight"])


def lines_of(stage: Stage, request_id: str) -> list[dict[str, Any]]:
    """The log lines of one request."""
    return [line for line in stage.gateway.lines() if line["request_id"] == request_id]
