"""What the stand-in is told to do with a request: misbehave in one named way, or answer.

Knows nothing of HTTP servers. A script arrives as JSON, at the control endpoint or inside one request, and an unknown
key is an error, so that a misspelt fault never passes as a healthy answer.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any


@dataclass(frozen=True, slots=True)
class Script:
    """One request's behaviour. Delays in seconds; frames count from 0, the role-first frame included."""

    status: int = 200
    """Anything but 200 is an OpenAI-shaped error with that status."""
    retry_after: str | None = None
    """Value of a `Retry-After` header."""
    delay_head_s: float = 0.0
    delay_chunk_s: float = 0.0
    """Pause before each frame after the first one; a unary body is sent in two halves with this pause between."""
    cut_after: int | None = None
    """Reset the connection after so many frames; a unary body is cut in the middle by any number."""
    end_after: int | None = None
    """Close cleanly after so many frames: no finish_reason, no usage, no [DONE]."""
    stall_after: int | None = None
    """Send nothing more after so many frames, and keep the connection open."""
    error_after: int | None = None
    """Send an error event after so many frames (0: as the first one), then close."""
    garbage: bool = False
    """A body that is not JSON (unary) or whose first event is not JSON (stream)."""
    hang: bool = False
    """Accept the request and never answer."""
    no_usage: bool = False
    """Leave usage out even where it was asked for."""
    answer: str | None = None
    """This text instead of the solver's."""
    content_type: str | None = None
    """Instead of the right one."""
    half: bool = False
    """A unary body that ends in its middle and says that this is all of it."""
    pad_bytes: int = 0
    """So many bytes more in a unary body, or in the first event of a stream."""
    drip_s: float = 0.0
    """One byte at a time, with this pause between; a stream only after its first frames."""
    negative_usage: bool = False
    """Every count of usage below nothing."""
    exit_after: int | None = None
    """The process ends at once after so many frames, as if it had been killed; 0: on the request."""
    tool: str | None = None
    """The answer is a call of the tool of this name, its arguments in pieces (chat streams)."""

    @property
    def stop(self) -> int | None:
        """The number of frames after which the stream does not go on, or None."""
        named = (self.cut_after, self.end_after, self.stall_after, self.error_after, self.exit_after)
        return min((n for n in named if n is not None), default=None)


def parse_script(raw: Mapping[str, Any]) -> Script:
    """Raises ValueError naming the unknown key."""
    known = [field.name for field in fields(Script)]
    for key in raw:
        if key not in known:
            raise ValueError(f"script.{key}: unknown key; known keys: {', '.join(known)}")
    return Script(**raw)


class ScriptBook:
    """Scripts for the next requests, one each in order, then the default for all that follow."""

    def __init__(self) -> None:
        self._default = Script()
        self._next: deque[Script] = deque()

    def write(self, order: Mapping[str, Any]) -> None:
        """`{"next": [script, ...]}` appends; `{"default": script}` replaces. Raises ValueError for anything else."""
        unknown = set(order) - {"next", "default"}
        if unknown:
            raise ValueError(f'{min(unknown)}: unknown key; known keys: "next" (a list of scripts), "default"')
        if "default" in order:
            self._default = parse_script(order["default"])
        self._next.extend(parse_script(raw) for raw in order.get("next", ()))

    def take(self) -> Script:
        """The script of one request."""
        return self._next.popleft() if self._next else self._default

    def clear(self) -> None:
        """Forget every script: healthy answers from now on."""
        self._default = Script()
        self._next.clear()
