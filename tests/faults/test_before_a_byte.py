"""An upstream that fails before the first token is never seen: rows 6, 15 to 17 and 20 to 23 of the fault matrix.

Each fault over both transports (an engine replica's and a hosted API's), every protocol, streamed and whole: another
tier answers when the request may go there, and a real status says why when it may not.
"""

from dataclasses import dataclass
from typing import Any

import pytest

from tests.faults.asking import PROTOCOLS, Client, Seen, settled
from tests.faults.endings import KEYS
from tests.faults.stage import ROLES, Stage, between

INVALID = {(502, "upstream_invalid_response")}
CUT = {(502, "upstream_disconnected"), (503, "upstream_disconnected")}
REFUSED = {(503, "upstream_refused")}
LATE = {(504, "upstream_timeout")}
RETRY_AFTER_CAP_S = 120


@dataclass(frozen=True, slots=True)
class Fault:
    """What the upstream does, and what a client sees who asked for this very model. `streams`: None for both modes."""

    row: int
    script: dict[str, Any]
    seen: set[tuple[int, str]]
    streams: bool | None = None

    def modes(self) -> list[bool]:
        return [False, True] if self.streams is None else [self.streams]


FAULTS = {
    "silent": Fault(6, {"hang": True}, LATE),
    "429, a short pause": Fault(15, {"status": 429, "retry_after": "1"}, REFUSED),
    "429, a minute": Fault(15, {"status": 429, "retry_after": "60"}, REFUSED),
    "429, an hour": Fault(15, {"status": 429, "retry_after": "3600"}, REFUSED),
    "500": Fault(16, {"status": 500}, REFUSED),
    "503": Fault(16, {"status": 503}, REFUSED),
    "head, then silence": Fault(17, {"stall_after": 0}, LATE),
    "role, then silence": Fault(17, {"stall_after": 1}, LATE, streams=True),
    "error as the first event": Fault(20, {"error_after": 0}, INVALID | REFUSED, streams=True),
    "role, then an error": Fault(20, {"error_after": 1}, INVALID | REFUSED, streams=True),
    "html": Fault(21, {"garbage": True, "content_type": "text/html"}, INVALID),
    "no json": Fault(21, {"garbage": True}, INVALID),
    "half a json": Fault(21, {"half": True}, INVALID, streams=False),
    "a stream of another type": Fault(21, {"content_type": "text/plain"}, INVALID, streams=True),
    "a clean end at once": Fault(22, {"end_after": 0}, CUT, streams=True),
    "a clean end after the role": Fault(22, {"end_after": 1}, CUT, streams=True),
    "a cut at once": Fault(1, {"cut_after": 0, "delay_chunk_s": 0.01}, CUT),
}


@pytest.fixture(params=ROLES)
def role(request: pytest.FixtureRequest) -> str:
    """The transport the fault arrives on."""
    return str(request.param)


def of_row(faults: dict[str, Fault]) -> list[Any]:
    """Each fault under its name, marked with its row."""
    return [pytest.param(fault, id=name, marks=pytest.mark.row(fault.row)) for name, fault in faults.items()]


@pytest.mark.parametrize("fault", of_row(FAULTS))
async def test_the_next_tier_answers(stage: Stage, client: Client, fault: Fault, role: str) -> None:
    routing = between(stage.fresh(role, fault.script))
    asked = [
        {"protocol": protocol, "stream": stream, "script": fault.script, "routing": routing}
        for stream in fault.modes()
        for protocol in PROTOCOLS[:1] + PROTOCOLS[2:]
    ]
    answers = await client.ask_all(asked)
    lines = await settled(stage.gateway, answers)
    assert sum(stage.attempts(line["decision"])[0] for line in lines.values()) >= 1
    for seen in answers:
        assert seen.good, str(seen)
        assert seen.text == "2 3 4"
        assert seen.headers["x-millrace-model"] == "second"
        failed, answered = lines[seen.request_id]["attempts"][0], lines[seen.request_id]["attempts"][-1]
        assert failed["outcome"] != "ok"
        assert (answered["model"], answered["outcome"]) == ("second", "ok")
        at_faulty, at_good = stage.attempts(lines[seen.request_id]["decision"])
        assert at_faulty <= 2
        assert at_good == 1


@pytest.mark.parametrize("fault", of_row(FAULTS))
async def test_nobody_else_may_answer(stage: Stage, client: Client, fault: Fault, role: str) -> None:
    asked = [
        {"protocol": protocol, "stream": stream, "script": fault.script, "model": stage.fresh(role, fault.script)}
        for stream in fault.modes()
        for protocol in ("chat", "messages")
    ]
    answers = await client.ask_all(asked)
    lines = await settled(stage.gateway, answers)
    for seen in answers:
        assert_refused(seen, fault)
        assert lines[seen.request_id]["status"] == seen.status
        assert lines[seen.request_id]["output_tokens"] == 0


def assert_refused(seen: Seen, fault: Fault) -> None:
    """A real status, in the shape of the protocol, with a pause no client refuses to wait for."""
    assert seen.clean, str(seen)
    if seen.protocol == "messages":
        assert seen.status in {status for status, _ in fault.seen}, str(seen)
        assert set(seen.error) >= {"type", "message"}
    else:
        assert (seen.status, seen.error["code"]) in fault.seen, str(seen)
        assert set(seen.error) == KEYS
    assert seen.headers["x-request-id"] == seen.request_id
    if seen.status == 503:
        assert 0 < int(seen.headers["retry-after"]) <= RETRY_AFTER_CAP_S
