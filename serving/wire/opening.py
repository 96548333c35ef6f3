"""The first-chunk gate: a stream counts as begun when it generates something, not when it says 200.

Knows the four relayed protocols and nothing of HTTP, attempts or time. What is held is passed on in order, untouched;
an opening that fails has sent the client nothing, so the failure can still become a status or another attempt.
"""

import re
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import msgspec

from serving.errors import UpstreamDisconnected, UpstreamFailed, UpstreamInvalid, UpstreamRefused
from serving.wire.frames import BOM, MAX_FRAME_BYTES, field, frame_data, frame_end

_FIELDS = (b"data:", b"event:", b"id:", b"retry:", b":")
_GENERATED = ("content", "tool_calls", "function_call", "reasoning", "reasoning_content", "refusal", "audio")
_STATUSES: Mapping[str, int] = {
    "insufficient_quota": 429,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "api_error": 500,
    "server_error": 500,
    "overloaded_error": 529,
}
"""Names of errors that say what a status would have said."""


_ERROR = b'"error"'
_TEXT: Mapping[str, re.Pattern[bytes]] = {
    "chat": re.compile(rb'"delta":\s?\{[^{}]*"content":\s?"[^"]'),
    "completions": re.compile(rb'"text":\s?"[^"]'),
}
MAX_OPENING_BYTES = 3 * MAX_FRAME_BYTES
"""The most that is held before a token: two Responses events that repeat the request, and what is small."""


async def opening(operation: str, chunks: AsyncIterator[bytes], replica: str) -> bytes:
    """Read up to and with the chunk that holds the first frame with real generation; role and created frames wait.

    Raises `UpstreamRefused` for an error of the upstream's in it (429, 5xx), `UpstreamInvalid` for anything else that
    is no answer (other errors, garbage, a frame over `MAX_FRAME_BYTES`, too many bytes of nothing),
    `UpstreamDisconnected` for an end.
    """
    held: bytes | bytearray = b""
    judged = 0
    async for chunk in chunks:
        if held:
            held = held if isinstance(held, bytearray) else bytearray(held)
            held += chunk
        else:
            held = chunk
        while (end := frame_end(held, judged)) >= 0:
            frame = bytes(held[judged:end])
            if _plainly(operation, frame) or _generates(operation, frame, replica):
                return bytes(held)
            judged = end
        if len(held) - judged > MAX_FRAME_BYTES or len(held) > MAX_OPENING_BYTES:
            raise UpstreamInvalid(f"{replica} sent {len(held)} bytes and no token")
    if held[judged:].strip() and not _is_sse(bytes(held[judged:])):
        raise UpstreamInvalid(f"{replica} began its stream with something that is no event stream")
    raise UpstreamDisconnected(f"{replica} ended its stream before the first token")


def _plainly(operation: str, frame: bytes) -> bool:
    """Is `frame` what nearly every stream begins with: text, and no error? Seen without reading it as JSON.

    Within a string of JSON the quotes would have backslashes before them.
    """
    text = _TEXT.get(operation)
    return (
        text is not None
        and text.search(frame) is not None
        and _ERROR not in frame
        and frame.startswith(b'data: {"')
        and frame.endswith(b"}\n\n")
    )


def _generates(operation: str, frame: bytes, replica: str) -> bool:
    """Does `frame` carry generation? Raises `UpstreamFailed` when no answer can follow it."""
    event = frame_data(frame)
    if event is None:
        return _says_nothing(frame, replica)
    if is_failure(frame, event):
        raise failure_of(event, replica)
    return _REAL[operation](event)


def _says_nothing(frame: bytes, replica: str) -> bool:
    """False for a frame without data. Raises `UpstreamInvalid` for data that is no event, and for what is no frame."""
    data = field(frame, b"data")
    if data is not None and data.strip() == b"[DONE]":
        raise UpstreamInvalid(f"{replica} ended its answer without a token")
    if data is not None or field(frame, b"event") == b"error":
        raise UpstreamInvalid(f"{replica} began its stream with something that is no answer")
    if frame.strip() and not _is_sse(frame):
        raise UpstreamInvalid(f"{replica} began its stream with something that is no event stream")
    return False


def _is_sse(frame: bytes) -> bool:
    return frame.removeprefix(BOM).lstrip().startswith(_FIELDS)


def is_failure(frame: bytes, event: Mapping[str, Any]) -> bool:
    """Is this frame an error, in the shape of any of the protocols?"""
    if event.get("error") or event.get("type") in ("error", "response.failed"):
        return True
    return field(frame, b"event") in (b"error", b"response.failed")


def failure_of(event: Mapping[str, Any], replica: str) -> UpstreamFailed:
    """The error an event tells of. Its text stays here: it may hold what is not meant for the client."""
    status = _status(event)
    kind = UpstreamRefused if status == 429 or status >= 500 else UpstreamInvalid
    failure = kind(f"{replica} reported an error in its stream" + (f" ({status})" if status else ""))
    failure.upstream_status = status
    failure.said = msgspec.json.encode(event)
    return failure


def _status(event: Mapping[str, Any]) -> int:
    """The HTTP status an error event stands for; 0 when it names none."""
    response = event.get("response")
    error = event.get("error") or (response.get("error") if isinstance(response, dict) else None) or event
    if not isinstance(error, dict):
        return 0
    for name in ("code", "status", "status_code", "type"):
        value = error.get(name)
        if isinstance(value, str):
            value = int(value) if value.isascii() and value.isdigit() and len(value) == 3 else _STATUSES.get(value)
        if isinstance(value, int) and not isinstance(value, bool) and 400 <= value < 600:
            return value
    return 0


def _chat(event: Mapping[str, Any]) -> bool:
    return any(choice.get("finish_reason") or _said(choice.get("delta")) for choice in _choices(event))


def _said(delta: object) -> bool:
    return isinstance(delta, dict) and any(delta.get(name) for name in _GENERATED)


def _completion(event: Mapping[str, Any]) -> bool:
    return any(choice.get("finish_reason") or choice.get("text") for choice in _choices(event))


def _choices(event: Mapping[str, Any]) -> list[dict[str, Any]]:
    choices = event.get("choices")
    return [choice for choice in choices if isinstance(choice, dict)] if isinstance(choices, list) else []


def _response(event: Mapping[str, Any]) -> bool:
    kind = str(event.get("type"))
    return kind.endswith(".delta") or kind in ("response.completed", "response.incomplete")


def _message(event: Mapping[str, Any]) -> bool:
    delta = event.get("delta")
    kind = event.get("type")
    return kind == "content_block_delta" or (
        kind == "message_delta" and isinstance(delta, dict) and bool(delta.get("stop_reason"))
    )


_REAL: Mapping[str, Callable[[Mapping[str, Any]], bool]] = {
    "chat": _chat,
    "completions": _completion,
    "responses": _response,
    "messages": _message,
}
