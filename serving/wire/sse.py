"""A stream's bytes on their way through: relayed as they came, watched just enough to account and to end honestly.

Sync and without I/O. Whole frames are forwarded untouched; JSON is parsed only in the rare frame that carries usage.
Invariant S: a stream ends with its protocol's terminal frame, an error frame, or an abrupt close.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from serving.errors import MillraceError, UpstreamInvalid
from serving.record import Usage

MAX_FRAME_BYTES = 1 << 20
"""The longest unfinished frame that is kept, bytes."""

_DONE = b"data: [DONE]"
_DONE_UNSPACED = b"data:[DONE]"
_USAGE = b'"usage":'
_GAPS = (b"\n\n", b"\r\n\r\n")
_TERMINALS: Mapping[str, tuple[bytes, ...]] = {
    "chat": (_DONE, _DONE_UNSPACED),
    "completions": (_DONE, _DONE_UNSPACED),
    "responses": (b"event: response.completed", b"event: response.incomplete", b"event: response.failed"),
    "messages": (b"event: message_stop",),
}


class StreamWatch:
    """Follows one stream of `operation`. `strip_usage`: the client did not ask for the final usage chunk."""

    __slots__ = ("_carry", "_done", "_frames", "_hints", "_strip_usage", "_terminals", "ended", "usage")

    def __init__(self, operation: str, *, strip_usage: bool) -> None:
        self._terminals = _TERMINALS[operation]
        self._done = self._terminals[0] is _DONE
        self._hints = (b"[DONE]",) if self._done else self._terminals
        self._strip_usage = strip_usage and self._done
        self._carry = b""
        self._frames = 0
        self.usage = Usage()
        self.ended = False

    def feed(self, chunk: bytes) -> bytes:
        """The bytes to forward now. A trailing part of a frame waits for its rest; `[DONE]` is kept for `finish`.

        Raises `UpstreamInvalid` when a frame is longer than `MAX_FRAME_BYTES`.
        """
        if self._carry:
            chunk, self._carry = self._carry + chunk, b""
        if not chunk.endswith(b"\n\n"):
            chunk = self._keep_tail(chunk)
        self._frames += chunk.count(b"data:")
        if b'"usage":{' in chunk or b'"usage": {' in chunk:  # plain searches: a tenth of a pattern's time
            chunk = self._account(chunk)
        for hint in self._hints:
            if hint in chunk:
                return self._end(chunk)
        return chunk

    def _end(self, chunk: bytes) -> bytes:
        """Only a line that begins with a terminal ends the stream: an answer may quote one."""
        for terminal in self._terminals:
            place = chunk.rfind(b"\n" + terminal)
            if place >= 0 or chunk.startswith(terminal):
                self.ended = True
                return chunk[: place + 1] if self._done else chunk
        return chunk

    def _keep_tail(self, chunk: bytes) -> bytes:
        ends = (chunk.rfind(gap) + len(gap) for gap in _GAPS if gap in chunk)
        end = max(ends, default=0)
        if len(chunk) - end > MAX_FRAME_BYTES:
            raise UpstreamInvalid(f"a stream frame is longer than {MAX_FRAME_BYTES} bytes")
        self._carry = chunk[end:]
        return chunk[:end]

    def _account(self, chunk: bytes) -> bytes:
        """Take over every usage in `chunk`; without the frames that hold nothing else, if those are to be stripped."""
        gap = b"\r\n\r\n" if b"\r\n\r\n" in chunk else b"\n\n"
        place = 0
        while (found := _next_usage(chunk, place)) >= 0:
            before = chunk.rfind(gap, place, found)
            start = before + len(gap) if before >= 0 else place
            place = end = chunk.index(gap, found) + len(gap)
            data = frame_data(chunk[start:end])
            if data is None:
                continue
            merge_usage(self.usage, find_usage(data))
            if self._strip_usage and data.get("choices") == [] and data.get("usage"):
                chunk, place = chunk[:start] + chunk[end:], start
        return chunk

    def usage_so_far(self) -> Usage:
        """The upstream's own count; of a stream cut before it came, the frames seen stand for the output tokens."""
        if self.usage.output or (self.ended and self.usage.input):
            return self.usage
        return Usage(self.usage.input, self.usage.cached, self._frames)

    def finish(self, *, cost_usd: float) -> bytes:
        """The last bytes of a stream that ended well: what it cost, as a comment that clients skip, then `[DONE]`."""
        comment = f": x-millrace-cost-usd={cost_usd:.9f}\n\n".encode()
        return comment + _DONE + b"\n\n" if self._done else comment


def _next_usage(chunk: bytes, place: int) -> int:
    """Where the next usage that is an object begins, from `place` on; -1 when there is none."""
    while (found := chunk.find(_USAGE, place)) >= 0:
        place = found + len(_USAGE)
        if chunk[place : place + 2].lstrip().startswith(b"{"):
            return found
    return -1


def frame_data(frame: bytes) -> dict[str, Any] | None:
    """The JSON object of a frame's `data:` line; None when there is none."""
    start = frame.find(b"data:")
    if start < 0:
        return None
    try:
        data = msgspec.json.decode(frame[start + 5 :].split(b"\n", 1)[0])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return data if isinstance(data, dict) else None


def has_event(chunk: bytes) -> bool:
    """Is the first `data:` line here to its end? Comments are no events."""
    start = chunk.find(b"data:")
    return start >= 0 and b"\n" in chunk[start:]


def find_usage(data: Mapping[str, Any]) -> Mapping[str, Any]:
    """The usage object of an answer or a stream event of any relayed protocol; empty when there is none."""
    for holder in (data, data.get("response"), data.get("message")):
        if isinstance(holder, dict) and isinstance(holder.get("usage"), dict):
            usage: Mapping[str, Any] = holder["usage"]
            return usage
    return {}


def merge_usage(usage: Usage, found: Mapping[str, Any]) -> None:
    """Take over what `found` reports. Messages report input first and output last, so absent fields change nothing."""
    usage.input = _count(found, "prompt_tokens", "input_tokens") or usage.input
    usage.output = _count(found, "completion_tokens", "output_tokens") or usage.output
    details = found.get("prompt_tokens_details") or found.get("input_tokens_details")
    cached = _count(details, "cached_tokens") if isinstance(details, dict) else 0
    usage.cached = cached or _count(found, "cache_read_input_tokens") or usage.cached


def _count(found: Mapping[str, Any], *names: str) -> int:
    for name in names:
        value = found.get(name)
        if isinstance(value, int) and not isinstance(value, bool) and value > 0:
            return value
    return 0


def is_error_frame(chunk: bytes) -> bool:
    """Does a stream begin with an error instead of an answer?"""
    if b'"error"' not in chunk:
        return False
    data = frame_data(chunk)
    return data is not None and (bool(data.get("error")) or data.get("type") in ("error", "response.failed"))


def error_frame(operation: str, error: MillraceError) -> bytes:
    """The in-band error that ends a stream, in the shape the clients of `operation` raise on."""
    if operation == "messages":
        data: dict[str, Any] = {"type": "error", "error": {"type": error.type, "message": error.message}}
        return b"event: error\ndata: " + msgspec.json.encode(data) + b"\n\n"
    data = {"error": {"message": error.message, "type": error.type, "param": error.param, "code": error.code}}
    frame = b"data: " + msgspec.json.encode(data) + b"\n\n"
    return _failed_response(error) + frame if operation == "responses" else frame


def _failed_response(error: MillraceError) -> bytes:
    """The terminal event of the Responses protocol; the frame after it makes the clients raise that only yield it."""
    response = {"object": "response", "status": "failed", "error": {"code": error.code, "message": error.message}}
    data = {"type": "response.failed", "response": response}
    return b"event: response.failed\ndata: " + msgspec.json.encode(data) + b"\n\n"
