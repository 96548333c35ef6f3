"""An upstream that fails after tokens have flowed: rows 2, 3, 18, 19 and 22 of the fault matrix.

The client has begun to read, so nothing can be taken back: the stream ends with an error in its protocol's own shape,
never with a clean end, and never with what another upstream would have said.
"""

from dataclasses import dataclass
from typing import Any

import pytest

from tests.faults.asking import LONG, PROTOCOLS, Client, settled
from tests.faults.endings import Ending
from tests.faults.stage import ROLES, Stage, between

TOOL = {"type": "function", "function": {"name": "store", "parameters": {"type": "object", "properties": {}}}}
SCHEMA = {"type": "json_schema", "json_schema": {"name": "said", "schema": {"type": "object"}}}
DEADLINE = {"x-millrace-timeout-s": "3"}
CLOSED, LATE, INVALID = "upstream_disconnected", "upstream_timeout", "upstream_invalid_response"
BEGUN = 8
"""Frames after which every protocol has sent some content."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What the upstream does after `BEGUN` frames, and the codes the error may have."""

    row: int
    script: dict[str, Any]
    codes: set[str]
    asked: dict[str, Any]


FAULTS = {
    "cut": Fault(2, {"cut_after": BEGUN, "delay_chunk_s": 0.01}, {CLOSED}, {}),
    "cut within a tool call": Fault(
        3, {"cut_after": 4, "delay_chunk_s": 0.01, "tool": "store"}, {CLOSED}, {"tools": [TOOL]}
    ),
    "cut within a json answer": Fault(
        3, {"cut_after": BEGUN, "delay_chunk_s": 0.01}, {CLOSED}, {"response_format": SCHEMA}
    ),
    "silence": Fault(18, {"stall_after": BEGUN}, {LATE}, {}),
    "a byte at a time": Fault(19, {"drip_s": 0.2}, {LATE}, {"headers": DEADLINE}),
    "error": Fault(2, {"error_after": BEGUN}, {"upstream_failed", INVALID}, {}),
    "a clean end": Fault(22, {"end_after": BEGUN}, {CLOSED}, {}),
}


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize(
    "fault", [pytest.param(fault, id=name, marks=pytest.mark.row(fault.row)) for name, fault in FAULTS.items()]
)
async def test_the_stream_says_that_it_failed(stage: Stage, client: Client, fault: Fault, role: str) -> None:
    protocols = ("chat",) if fault.row == 3 else PROTOCOLS
    routing = between(stage.fresh(role, fault.script))
    asked = [
        {"protocol": protocol, "script": {"answer": LONG} | fault.script, "routing": routing} | fault.asked
        for protocol in protocols
    ]
    answers = await client.ask_all(asked)
    lines = await settled(stage.gateway, answers)
    for seen in answers:
        assert seen.verdict.ending is Ending.FAILED, str(seen)
        assert seen.protocol == "messages" or seen.verdict.code in fault.codes, str(seen)
        assert LONG.startswith(seen.text.strip())
        line = lines[seen.request_id]
        assert stage.attempts(line["decision"]) == (1, 0)
        assert (line["status"], len(line["attempts"])) == (200, 1)
        assert line["error"] is not None
        assert line["attempts"][0]["outcome"] != "ok"


@pytest.mark.row(2, 22)
@pytest.mark.parametrize("way", ["cut_after", "end_after"])
@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_wherever_it_breaks_it_is_no_success(stage: Stage, client: Client, protocol: str, way: str) -> None:
    model = stage.fresh("engine")
    asked = [{"protocol": protocol, "model": model, "script": _broken(way, frames)} for frames in range(1, 7)]
    answers = await client.ask_all(asked)
    await settled(stage.gateway, answers)
    for seen in answers:
        assert not seen.good, str(seen)
        assert not seen.lies, str(seen)


def _broken(way: str, frames: int) -> dict[str, Any]:
    return {way: frames, "delay_chunk_s": 0.01, "answer": LONG}
