"""Invariant S as a client would judge it: how did this stream end, going by its bytes alone?

Written from the protocols, not from the gateway: nothing of `serving` is imported. A stream is `COMPLETE`, says that
it `FAILED`, was cut `ABRUPT`ly, or is a `LIE`: it looks finished to a client and is not.
"""

import json
from collections import defaultdict
from dataclasses import dataclass
from enum import Enum
from typing import Any

KEYS = {"message", "type", "param", "code"}
"""Of an OpenAI error body, all of them always."""
ANTHROPIC_ERRORS = frozenset(
    {
        "invalid_request_error", "authentication_error", "permission_error", "not_found_error", "request_too_large",
        "rate_limit_error", "api_error", "overloaded_error", "timeout_error", "billing_error",
    }
)  # fmt: skip


class Ending(Enum):
    """How a stream ended."""

    COMPLETE = "complete"
    FAILED = "failed"
    ABRUPT = "abrupt"
    LIE = "lie"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the bytes say. `text`: what a client would show; `code`: of the error, if the stream names one."""

    ending: Ending
    why: str
    text: str = ""
    code: str | None = None

    @property
    def honest(self) -> bool:
        """Invariant S."""
        return self.ending is not Ending.LIE


@dataclass(frozen=True, slots=True)
class Event:
    """One server-sent event that is no comment."""

    name: str
    data: Any
    """Decoded, or the text `[DONE]`; None when it is neither."""


def judge(protocol: str, raw: bytes, *, clean: bool) -> Verdict:
    """`protocol`: chat, completions, responses or messages; `clean`: did the body end as HTTP says it should?"""
    frames, rest = frames_of(raw)
    events = [event for event in map(_event, frames) if event is not None]
    verdict = _JUDGES[protocol](events)
    if rest.strip() and clean and not rest.lstrip().startswith(b":"):
        return Verdict(Ending.LIE, f"ends cleanly inside a frame: {rest[-80:]!r}", verdict.text)
    if verdict.ending is Ending.LIE and not clean and not _finished_twice(verdict):
        return Verdict(Ending.ABRUPT, verdict.why, verdict.text)
    return verdict


def frames_of(raw: bytes) -> tuple[list[bytes], bytes]:
    """Whole frames, and what is left of an unfinished one."""
    *frames, rest = raw.replace(b"\r\n", b"\n").split(b"\n\n")
    return frames, rest


def _event(frame: bytes) -> Event | None:
    name, data = "", []
    for line in frame.decode("utf-8", errors="replace").split("\n"):
        field, _, value = line.partition(":")
        if field == "event":
            name = value.strip()
        elif field == "data":
            data.append(value.removeprefix(" "))
    if not name and not data:
        return None
    return Event(name, _decoded("\n".join(data)))


def _decoded(text: str) -> Any:
    if text == "[DONE]":
        return text
    try:
        return json.loads(text)
    except ValueError:
        return None


_TWICE = "and then went on"


def _finished_twice(verdict: Verdict) -> bool:
    """A lie that an abrupt close does not cure: the client had stopped listening."""
    return verdict.why.endswith(_TWICE)


def _openai(events: list[Event], piece: str) -> Verdict:
    """Chat and completions: one `finish_reason` per choice, `[DONE]` last; or an error object last and no `[DONE]`."""
    text, reasons = "", defaultdict[int, list[str]](list)
    seen: set[int] = set()
    for place, event in enumerate(events):
        last = place == len(events) - 1
        if event.data == "[DONE]":
            return _done(text, seen, reasons, last=last)
        if not isinstance(event.data, dict):
            return Verdict(Ending.LIE, "a frame that is no JSON object", text)
        if event.data.get("error"):
            return _error(event.data["error"], text, last=last)
        for choice in event.data.get("choices") or ():
            seen.add(choice["index"])
            text += _piece(choice, piece)
            if choice.get("finish_reason"):
                reasons[choice["index"]].append(choice["finish_reason"])
    return Verdict(Ending.LIE, "ends without [DONE] and without an error", text)


def _piece(choice: dict[str, Any], piece: str) -> str:
    return str((choice.get("delta") or {}).get("content") or "") if piece == "delta" else str(choice.get("text") or "")


def _done(text: str, seen: set[int], reasons: dict[int, list[str]], *, last: bool) -> Verdict:
    if not last:
        return Verdict(Ending.LIE, f"said [DONE] {_TWICE}", text)
    if not seen or any(len(reasons[index]) != 1 for index in seen):
        return Verdict(Ending.LIE, f"[DONE] with finish reasons {dict(reasons)} for choices {sorted(seen)}", text)
    return Verdict(Ending.COMPLETE, "finish_reason and [DONE]", text)


def _error(error: Any, text: str, *, last: bool) -> Verdict:
    if not last:
        return Verdict(Ending.LIE, f"sent an error {_TWICE}", text)
    if not isinstance(error, dict) or set(error) != KEYS:
        return Verdict(Ending.LIE, f"an error without all of {sorted(KEYS)}: {error!r}", text)
    return Verdict(Ending.FAILED, "error frame", text, error["code"])


def _responses(events: list[Event]) -> Verdict:
    """`response.completed` or `.incomplete` last; or `response.failed`, with nothing but one error object after it."""
    text = ""
    for place, event in enumerate(events):
        rest = events[place + 1 :]
        if not isinstance(event.data, dict):
            return Verdict(Ending.LIE, "a frame that is no JSON object", text)
        kind = event.data.get("type")
        if kind == "response.output_text.delta":
            text += event.data["delta"]
        elif kind in ("response.completed", "response.incomplete"):
            return Verdict(Ending.LIE, f"{kind} {_TWICE}", text) if rest else Verdict(Ending.COMPLETE, kind, text)
        elif kind == "response.failed":
            return _failed_response(event.data, rest, text)
        elif event.data.get("error"):
            return Verdict(Ending.LIE, "an error without response.failed before it", text)
    return Verdict(Ending.LIE, "ends without a terminal event", text)


def _failed_response(data: dict[str, Any], rest: list[Event], text: str) -> Verdict:
    response = data.get("response") or {}
    if response.get("status") != "failed" or not (response.get("error") or {}).get("code"):
        return Verdict(Ending.LIE, f"response.failed without status and error: {data!r}", text)
    if rest:
        after = rest[0].data if isinstance(rest[0].data, dict) else {}
        return _error(after.get("error"), text, last=len(rest) == 1)
    return Verdict(Ending.FAILED, "response.failed", text, response["error"]["code"])


def _messages(events: list[Event]) -> Verdict:
    """`message_delta` with a stop reason, then `message_stop` last; or `event: error` last."""
    text, stopped = "", False
    for place, event in enumerate(events):
        last = place == len(events) - 1
        if not isinstance(event.data, dict):
            return Verdict(Ending.LIE, "a frame that is no JSON object", text)
        kind = event.data.get("type")
        if kind == "content_block_delta":
            text += str(event.data["delta"].get("text", ""))
        elif kind == "message_delta":
            stopped = bool(event.data["delta"].get("stop_reason"))
        elif kind == "message_stop":
            return _stopped(text, stopped=stopped, last=last)
        elif kind == "error":
            return _anthropic_error(event, text, last=last)
    return Verdict(Ending.LIE, "ends without message_stop and without an error", text)


def _stopped(text: str, *, stopped: bool, last: bool) -> Verdict:
    if not last:
        return Verdict(Ending.LIE, f"message_stop {_TWICE}", text)
    if not stopped:
        return Verdict(Ending.LIE, "message_stop without a stop_reason before it", text)
    return Verdict(Ending.COMPLETE, "message_stop", text)


def _anthropic_error(event: Event, text: str, *, last: bool) -> Verdict:
    error = event.data.get("error") or {}
    if not last:
        return Verdict(Ending.LIE, f"sent an error {_TWICE}", text)
    if event.name != "error" or error.get("type") not in ANTHROPIC_ERRORS or not error.get("message"):
        return Verdict(Ending.LIE, f"an error event no client raises on: {event!r}", text)
    return Verdict(Ending.FAILED, "event: error", text, error["type"])


_JUDGES = {
    "chat": lambda events: _openai(events, "delta"),
    "completions": lambda events: _openai(events, "text"),
    "responses": _responses,
    "messages": _messages,
}
