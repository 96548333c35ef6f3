"""The frames of a Responses stream that carry the response object, made this gateway's own; all others go by unread.

Sync, without I/O.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from serving.errors import MillraceError
from serving.responses.objects import Terms, failed_with, owned
from serving.wire.endings import error_frame
from serving.wire.frames import frame_data, frame_end

_MARKS = (b'"response":{', b'"response": {')
"""Inside a JSON string the quotes would be escaped, so an answer cannot hold one of these."""
_ENDS = frozenset({"response.completed", "response.incomplete", "response.failed"})


class OwnFrames:
    """Rewrites one stream. `response`: the newest response object seen, at first what it is before any was."""

    __slots__ = ("_number", "_terms", "ended", "response")

    def __init__(self, terms: Terms, response: Mapping[str, Any]) -> None:
        self._terms = terms
        self.response = response
        self.ended = False
        self._number = 0

    def rewrite(self, chunk: bytes) -> tuple[bytes, bytes]:
        """Whole frames in, whole frames out: those before the one that ends the stream, and the rest."""
        if _MARKS[0] not in chunk and _MARKS[1] not in chunk:
            return (b"", chunk) if self.ended else (chunk, b"")
        before, rest, place = b"", b"", 0
        while place < len(chunk):
            end = frame_end(chunk, place)
            frame, place = (chunk[place:end], end) if end >= 0 else (chunk[place:], len(chunk))
            own = self._own(frame)
            if self.ended:
                rest += own
            else:
                before += own
        return before, rest

    def _own(self, frame: bytes) -> bytes:
        if _MARKS[0] not in frame and _MARKS[1] not in frame:
            return frame
        event = frame_data(frame)
        if event is None or not isinstance(event.get("response"), dict):
            return frame
        kind = str(event.get("type"))
        self.response = owned({**self.response, **event["response"]}, self._terms)
        if kind in _ENDS:
            self.response = {**self.response, "status": kind.removeprefix("response.")}
            self.ended = True
        self._number = event.get("sequence_number", 0)
        return _frame(kind, {**event, "response": self.response})

    def failing(self, error: MillraceError) -> bytes:
        """What ends the stream in place of its own last frame; clients raise for the frame after `response.failed`."""
        self.response = failed_with(self.response, error)
        event = {"type": "response.failed", "sequence_number": self._number, "response": self.response}
        return _frame("response.failed", event) + error_frame("chat", error)


def _frame(kind: str, event: Mapping[str, Any]) -> bytes:
    return b"event: " + kind.encode() + b"\ndata: " + msgspec.json.encode(event) + b"\n\n"
