"""A stream's bytes on their way through: relayed as they came, watched just enough to account and to end honestly.

Sync and without I/O. Whole frames are forwarded untouched; JSON is parsed only in the rare frame that carries usage,
a finish reason, an error or an end. Invariant S: what leaves here reads as complete only if the upstream's stream did.
"""

import re
from collections.abc import Mapping
from typing import Any

from serving.errors import MillraceError, UpstreamFailed, UpstreamInvalid
from serving.record import Usage
from serving.wire.frames import MAX_FRAME_BYTES, field, frame_data, frame_end, frame_start
from serving.wire.opening import is_failure
from serving.wire.usage import find_usage, merge_usage

_DONE = b"[DONE]"
_ERROR = b'"error"'
_NO_REASON = b'"finish_reason":null'
_GAPS = (b"\n\n", b"\r\n\r\n")
_TERMINAL = b"data: [DONE]\n\n"
_AFTER_FRAMES = b"}\n\n" + _TERMINAL
"""A frame of JSON, its blank line, and the end: after more or other line ends it is not so plain where one begins."""
_MARKS: Mapping[str, tuple[bytes, ...]] = {
    "chat": (_DONE, b'"finish_reason":"', b'"finish_reason": "', _ERROR),
    "completions": (_DONE, b'"finish_reason":"', b'"finish_reason": "', _ERROR),
    "responses": (_DONE, b'"response":', b"response.completed", _ERROR),
    "messages": (b"message_stop", b'"stop_reason":"', b'"stop_reason": "', _ERROR),
}
"""What every frame that ends something contains, and few others. Within a string the quotes would be escaped."""
_COMPLETE = ("response.completed", "response.incomplete")
_BEGUN = re.compile(rb'"choices":\s?\[\{"index":\s?(\d+)')
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")


class StreamWatch:
    """Follows one stream of `operation`.

    `strip_usage`: the client did not ask for the final usage chunk. `several`: more than one choice may be streamed.
    `ended` and `failure` are set when the stream is over; nothing is to be fed after that.
    """

    __slots__ = (
        "_begun",
        "_carry",
        "_done",
        "_finished",
        "_frames",
        "_marks",
        "_one_choice",
        "_operation",
        "_several",
        "_strip_usage",
        "ended",
        "failure",
        "last",
        "opening",
        "usage",
    )

    def __init__(self, operation: str, *, strip_usage: bool, several: bool = False) -> None:
        self._operation = operation
        self._done = operation in ("chat", "completions")
        self._marks = _MARKS[operation]
        self._several = several
        self._one_choice = self._done and not several
        self._strip_usage = strip_usage and self._done
        self._carry = b""
        self._frames = 0
        self._begun: set[int] = set()
        self._finished: set[int] = set()
        self.usage = Usage()
        self.ended = False
        self.failure: MillraceError | None = None
        self.opening = b""
        """The first whole frames, as forwarded; not of chat and completions, as nothing of them is ever repeated."""
        self.last = b""
        """The last whole frames likewise."""

    def feed(self, chunk: bytes) -> bytes:
        """The bytes to forward now. A trailing part of a frame waits for its rest; `[DONE]` is kept for `finish`.

        A frame that is an error, or longer than `MAX_FRAME_BYTES`, is the stream's `failure` and not forwarded.
        """
        if self._carry:
            chunk, self._carry = self._carry + chunk, b""
        if not chunk.endswith(b"\n\n"):
            chunk = self._keep_tail(chunk)
        frames = chunk.count(b"data:")
        self._frames += frames
        if self._one_choice:
            last = chunk.rfind(_NO_REASON)  # from behind, as it is among a frame's last words
            if last < 0:
                return self._judge(chunk)
            plain = len(chunk) if frames == 1 else _plain(chunk, frames, last)
            return chunk[:plain] + self._judge(chunk[plain:]) if plain < len(chunk) else chunk
        if self._several:
            self._begun.update(_begun(chunk, frames))
        chunk = self._judge(chunk)
        if chunk and not self._done:
            self.opening = self.opening or chunk
            self.last = chunk
        return chunk

    def _judge(self, chunk: bytes) -> bytes:
        """Account for what whole frames say, and see whether they end anything; gives what is to be forwarded."""
        place = _next_usage(chunk, 0)
        if place >= 0:
            chunk = self._account(chunk, place)
        done = self._done and (chunk.endswith(_AFTER_FRAMES) or chunk == _TERMINAL)
        if done:  # the usual end is known by its bytes, and only the frames before it are left to search
            chunk = chunk[: -len(_TERMINAL)]
        places = []
        for mark in self._marks:  # plain searches: a tenth of a pattern's time
            if (place := chunk.find(mark)) >= 0:
                places.append((place, mark))
        return self._look(chunk, places, done=done) if places or done else chunk

    def close(self) -> bytes:
        """The upstream closed its stream: a terminal frame that lacks nothing but its blank line counts still."""
        rest, self._carry = self._carry.rstrip(b"\r\n"), b""
        forwarded = self.last
        ready = self.feed(rest + b"\n\n") if rest else b""
        if self.ended:
            return ready
        self.last = forwarded
        return b""

    def _look(self, chunk: bytes, places: list[tuple[int, bytes]], *, done: bool) -> bytes:
        """Look into the frames with a mark. What comes after the end, or from an error on, is not forwarded.

        `places`: where each of the marks that are in `chunk` comes first. `done`: right after `chunk` came `[DONE]`.
        """
        end = 0
        while places:
            place = min(places)[0]
            start, end = frame_start(chunk, place, end), frame_end(chunk, place)
            frame = chunk[start:end]
            places = _moved(places, chunk, end) if end < len(chunk) else []
            data = frame_data(frame)
            if data is None:
                if self._operation != "messages" and (field(frame, b"data") or b"").startswith(_DONE):
                    self._end()
                    return chunk[:start]
                continue
            if is_failure(frame, data):
                self.failure = UpstreamFailed(f"the model reported an error in its stream{_named(data)}")
                return chunk[:start]
            if self._is_last(frame, data):
                self._end()
                return chunk[:end] if self.ended else chunk[:start]
        if done:
            self._end()
        return chunk

    def _is_last(self, frame: bytes, data: Mapping[str, Any]) -> bool:
        """Note the reasons to end in an event; is it the last one of its protocol?"""
        if self._done:
            self._finished.update(_finished(data))
            return False
        kind = data.get("type") or (field(frame, b"event") or b"").decode("latin-1")
        delta = data.get("delta")
        if kind in _COMPLETE or (isinstance(delta, dict) and delta.get("stop_reason")):
            self._finished.add(0)
        return kind in _COMPLETE or kind == "message_stop"

    def _end(self) -> None:
        """The upstream says that this was all: believed when it gave every choice a reason to end."""
        if self._finished and self._begun <= self._finished:
            self.ended = True
        else:
            self.failure = UpstreamInvalid("the model ended its stream without a finish reason")

    def _keep_tail(self, chunk: bytes) -> bytes:
        ends = (chunk.rfind(gap) + len(gap) for gap in _GAPS if gap in chunk)
        end = max(ends, default=0)
        if len(chunk) - end > MAX_FRAME_BYTES:
            self.failure = UpstreamInvalid(f"a stream frame is longer than {MAX_FRAME_BYTES} bytes")
        else:
            self._carry = chunk[end:]
        return chunk[:end]

    def _account(self, chunk: bytes, place: int) -> bytes:
        """Take over every usage in `chunk`, the first one at `place`.

        Gives `chunk` without the frames that hold nothing else, if those are to be stripped.
        """
        kept, passed, end = [], 0, 0
        while place >= 0:
            start, end = frame_start(chunk, place, end), frame_end(chunk, place)
            place = _next_usage(chunk, end) if end < len(chunk) else -1
            data = frame_data(chunk[start:end])
            if data is None:
                continue
            merge_usage(self.usage, find_usage(data))
            if self._strip_usage and data.get("choices") == [] and data.get("usage") and not data.get("error"):
                kept.append(chunk[passed:start])
                passed = end
        return b"".join((*kept, chunk[passed:])) if kept else chunk

    def usage_so_far(self) -> Usage:
        """The upstream's own count; of a stream cut before it came, the frames seen stand for the output tokens."""
        if self.usage.output or (self.ended and self.usage.input):
            return self.usage
        return Usage(self.usage.input, self.usage.cached, self._frames, estimated=True)

    def finish(self, *, cost_usd: float) -> bytes:
        """The last bytes of a stream that ended well: what it cost, as a comment that clients skip, then `[DONE]`."""
        comment = b": x-millrace-cost-usd=%.9f\n\n" % cost_usd
        return comment + _TERMINAL if self._done else comment


def _plain(chunk: bytes, frames: int, last: int) -> int:
    """Up to where each frame has its choice and no choice a reason to end: nearly all of nearly every chunk.

    `last`: where the last choice without a reason says so.
    """
    end = frame_end(chunk, last)
    as_many = chunk.count(_NO_REASON) == frames - chunk.count(b"data:", end)
    if not as_many:
        return 0
    capital = chunk.find(b"O", 0, end)  # one byte is found ten times faster than six, and text often lacks it
    return end if capital < 0 or chunk.find(_DONE, 0, end) < 0 else 0


def _begun(chunk: bytes, frames: int) -> list[int]:
    """The choices that `frames` frames are about: read off where each holds one that starts with its index."""
    found = _BEGUN.findall(chunk)
    if len(found) == frames == chunk.count(b'"finish_reason"'):
        return [int(index) for index in found]
    events, place = [], 0
    while (end := frame_end(chunk, place)) >= 0:
        events.append(frame_data(chunk[place:end]) or {})
        place = end
    return [choice.get("index", 0) for event in events for choice in _choices(event)]


def _next_usage(chunk: bytes, start: int) -> int:
    """Where the next usage that is an object begins, from `start` on; -1 when there is none."""
    place = chunk.find(b'"usage":{', start)
    spaced = chunk.find(b'"usage": {', start, place if place >= 0 else len(chunk))
    return spaced if spaced >= 0 else place


def _moved(places: list[tuple[int, bytes]], chunk: bytes, end: int) -> list[tuple[int, bytes]]:
    """`places`, with those before `end` moved on to where their marks come next."""
    moved = []
    for place, mark in places:
        here = place if place >= end else chunk.find(mark, end)
        if here >= 0:
            moved.append((here, mark))
    return moved


def _finished(data: Mapping[str, Any]) -> list[int]:
    """The choices to which an event of chat or completions gives a reason to end."""
    return [choice.get("index", 0) for choice in _choices(data) if choice.get("finish_reason")]


def _choices(data: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The choices in an event of chat or completions whose index is a number, or not given: then it is 0."""
    choices = data.get("choices")
    if not isinstance(choices, list):
        return []
    return [choice for choice in choices if isinstance(choice, dict) and isinstance(choice.get("index", 0), int)]


def _named(event: Mapping[str, Any]) -> str:
    """What the upstream calls its error, if that is a name: its words may hold what is not meant for the client."""
    response = event.get("response")
    error = event.get("error") or (response.get("error") if isinstance(response, dict) else None) or event
    for key in ("code", "type") if isinstance(error, dict) else ():
        value = str(error.get(key) or "")
        if _NAME.fullmatch(value):
            return f": {value}"
    return ""
