"""The first-chunk gate: a stream counts as begun when it generates something, not when it says 200.

Knows the four relayed protocols and nothing of HTTP, attempts or time. What is held is passed on in order, untouched;
an opening that fails has sent the client nothing, so the failure can still become a status or another attempt.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from serving.errors import UpstreamDisconnected, UpstreamFailed, UpstreamInvalid, UpstreamRefused
from serving.wire.frames import BOM, MAX_FRAME_BYTES, field, frame_data, frame_end

_FIELDS = (b"data:", b"event:", b"id:", b"retry:", b":")
_GENERATED = frozenset(("content", "tool_calls", "function_call", "reasoning", "reasoning_content", "refusal", "audio"))
_FAILED = ("error", "response.failed")
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


class Opening:
    """What has come of one stream of `operation` so far: held until it is an answer. `replica` is named in failures."""

    __slots__ = ("_held", "_judged", "_operation", "_replica")

    def __init__(self, operation: str, replica: str) -> None:
        self._operation = operation
        self._replica = replica
        self._held: bytes | bytearray = b""
        self._judged = 0

    def feed(self, chunk: bytes) -> bool:
        """Take the next chunk. Is the first frame with real generation here? Role and created frames wait for it.

        Raises `UpstreamRefused` for an error of the upstream's in it (429, 5xx), `UpstreamInvalid` for anything else
        that is no answer: other errors, garbage, a frame over `MAX_FRAME_BYTES`, too many bytes of nothing.
        """
        if self._held:
            held = self._held if isinstance(self._held, bytearray) else bytearray(self._held)
            held += chunk
            self._held = held
        else:
            self._held = chunk
        while (end := frame_end(self._held, self._judged)) >= 0:
            frame = bytes(self._held[self._judged : end])
            if _plainly(self._operation, frame) or _generates(self._operation, frame, self._replica):
                return True
            self._judged = end
        if len(self._held) - self._judged > MAX_FRAME_BYTES or len(self._held) > MAX_OPENING_BYTES:
            raise UpstreamInvalid(f"{self._replica} sent {len(self._held)} bytes and no token")
        return False

    def held(self) -> bytes:
        """All that was fed, untouched."""
        return bytes(self._held)

    def unopened(self) -> UpstreamFailed:
        """What is wrong with a stream that is over before `feed` said yes."""
        rest = bytes(self._held[self._judged :])
        if rest.strip() and not _is_sse(rest):
            return UpstreamInvalid(f"{self._replica} began its stream with something that is no event stream")
        return UpstreamDisconnected(f"{self._replica} ended its stream before the first token")


def _plainly(operation: str, frame: bytes) -> bool:
    """Is `frame` what nearly every stream begins with: text, and no error? Seen without reading it as JSON.

    Within a string of JSON the quotes would have backslashes before them.
    """
    text = _TEXT.get(operation)
    return (
        text is not None
        and text.search(frame) is not None
        and frame.find(_ERROR) < 0
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
    if event.get("error") or event.get("type") in _FAILED:
        return True
    return frame.find(b"event:") >= 0 and field(frame, b"event") in (b"error", b"response.failed")


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
    if isinstance(delta, dict):
        for name, value in delta.items():
            if value and name in _GENERATED:
                return True
    return False


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
