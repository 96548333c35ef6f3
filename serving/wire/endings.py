"""How a stream that failed ends: in-band errors in the shape the clients of each protocol raise on.

Sync and without I/O. What a Responses failure must repeat (id, model, numbering) is read here, at failure time only.
"""

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from serving.errors import MillraceError
from serving.wire.frames import frame_data, frame_end

_NUMBER = re.compile(rb'"sequence_number":\s?(\d+)')


def error_frame(
    operation: str,
    error: MillraceError,
    *,
    opening: bytes = b"",
    last: bytes = b"",
    named: Mapping[str, Any] | None = None,
) -> bytes:
    """The frames that end a failed stream of `operation`.

    `opening` and `last`: the first and the last whole frames that the client was sent; `named`: id, model and
    created_at of the response, for a stream that had not begun it.
    """
    if operation == "messages":
        data: dict[str, Any] = {"type": "error", "error": {"type": error.anthropic_type, "message": error.message}}
        return _frame(data, name="error")
    data = {"error": {"message": error.message, "type": error.type, "param": error.param, "code": error.code}}
    frame = _frame(data)
    return _failed_response(error, opening, last, named) + frame if operation == "responses" else frame


def _failed_response(error: MillraceError, opening: bytes, last: bytes, named: Mapping[str, Any] | None) -> bytes:
    """The terminal event of the Responses protocol; the frame after it makes the clients raise that only yield it.

    SDKs demand `response.created` as the first event, so a stream that failed before it gets one.
    """
    created = _created(opening)
    begun = dict(created or _unborn(named or {}))
    number = _next_number(last or opening)
    events = b""
    if created is None and named is not None:
        events, number = _event("response.created", begun, number), number + 1
    failed = begun | {"status": "failed", "error": {"code": error.code, "message": error.message}}
    return events + _event("response.failed", failed, number)


def _created(opening: bytes) -> Mapping[str, Any] | None:
    start = 0
    while (end := frame_end(opening, start)) >= 0:
        data = frame_data(opening[start:end])
        if data is not None and data.get("type") == "response.created" and isinstance(data.get("response"), dict):
            response: Mapping[str, Any] = data["response"]
            return response
        start = end
    return None


def _next_number(frames: bytes) -> int:
    numbers = _NUMBER.findall(frames)
    return int(numbers[-1]) + 1 if numbers else 0


def _unborn(named: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "object": "response",
        "status": "in_progress",
        "error": None,
        "incomplete_details": None,
        "output": [],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": None,
        **named,
    }


def _event(kind: str, response: Mapping[str, Any], number: int) -> bytes:
    return _frame({"type": kind, "sequence_number": number, "response": response}, name=kind)


def _frame(data: Mapping[str, Any], name: str | None = None) -> bytes:
    head = f"event: {name}\n".encode() if name else b""
    return head + b"data: " + msgspec.json.encode(data) + b"\n\n"
