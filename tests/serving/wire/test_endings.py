"""How failed streams end, in the shape the clients of each protocol raise on."""

import json
from typing import Any

import msgspec

from serving.errors import RateLimited, UpstreamDisconnected
from serving.wire.endings import error_frame

NAMED = {"id": "resp_1", "model": "auto", "created_at": 7}


def events(frames: bytes) -> list[tuple[str, Any]]:
    """Name and data of every frame."""
    found = []
    for frame in frames.decode().split("\n\n")[:-1]:
        *name, data = frame.split("\n")
        found.append((name[0].removeprefix("event: ") if name else "", json.loads(data.removeprefix("data: "))))
    return found


def test_error_frames_have_the_shape_their_clients_raise_on() -> None:
    error = UpstreamDisconnected("gone")
    openai = msgspec.json.decode(error_frame("chat", error).removeprefix(b"data: "))
    assert openai["error"] == {
        "message": "gone",
        "type": "upstream_error",
        "param": None,
        "code": "upstream_disconnected",
    }
    anthropic = error_frame("messages", error)
    assert anthropic.startswith(b"event: error\ndata: ")
    assert msgspec.json.decode(anthropic.split(b"data: ")[1])["type"] == "error"


def test_anthropics_clients_get_their_own_kinds_of_error() -> None:
    ((name, data),) = events(error_frame("messages", RateLimited("slow down")))
    assert name == "error"
    assert data == {"type": "error", "error": {"type": "rate_limit_error", "message": "slow down"}}


def test_a_failed_response_has_its_protocols_terminal_event_first() -> None:
    failed, error = error_frame("responses", UpstreamDisconnected("gone")).split(b"\n\n")[:2]
    name, data = failed.split(b"\n")
    assert name == b"event: response.failed"
    event = msgspec.json.decode(data.removeprefix(b"data: "))
    assert event["response"]["status"] == "failed"
    assert event["response"]["error"]["code"] == "upstream_disconnected"
    assert msgspec.json.decode(error.removeprefix(b"data: "))["error"]["code"] == "upstream_disconnected"


def test_a_failed_response_repeats_what_it_began_as_and_counts_on() -> None:
    created = {
        "id": "resp_9",
        "object": "response",
        "created_at": 5,
        "model": "m",
        "status": "in_progress",
        "output": [],
    }
    opening = b"event: response.created\ndata: "
    opening += msgspec.json.encode({"type": "response.created", "sequence_number": 0, "response": created}) + b"\n\n"
    last = b'data: {"type":"response.output_text.delta","sequence_number": 41,"delta":"x"}\n\n'
    failed, error = events(
        error_frame("responses", UpstreamDisconnected("gone"), opening=opening, last=last, named=NAMED)
    )
    assert failed[0] == "response.failed"
    assert failed[1]["sequence_number"] == 42
    assert failed[1]["response"] == created | {
        "status": "failed",
        "error": {"code": "upstream_disconnected", "message": "gone"},
    }
    assert error[1]["error"]["code"] == "upstream_disconnected"


def test_a_response_that_fails_before_it_began_is_begun_first() -> None:
    created, failed, error = events(error_frame("responses", UpstreamDisconnected("gone"), named=NAMED))
    assert [created[1]["type"], failed[1]["type"]] == ["response.created", "response.failed"]
    assert [created[1]["sequence_number"], failed[1]["sequence_number"]] == [0, 1]
    assert created[1]["response"].items() >= NAMED.items()
    assert failed[1]["response"]["status"] == "failed"
    assert error[1]["error"]["code"] == "upstream_disconnected"
