"""What the parts of messages are: which ability of a model they ask for, and which of them nobody may send.

Knows the part types of chat, Responses and Messages; unknown ones pass.
"""

from collections.abc import Iterator
from typing import Any

from serving.errors import BadRequest

ABILITY_OF_PART = {
    "image": "vision",
    "image_url": "vision",
    "input_image": "vision",
    "input_audio": "audio",
    "audio_url": "audio",
    "video_url": "video",
    "input_video": "video",
}
"""Part type → the capability a model needs to read it."""

TENSOR_PARTS = ("audio_embeds", "image_embeds", "prompt_embeds", "video_embeds")
"""Parts that hold tensors instead of media: what is in them cannot be checked, and an engine loads them."""


def abilities(turns: Any) -> set[str]:
    """The capabilities that the parts of `turns` (messages, or a Responses input) ask for."""
    return {ability for part in _parts(turns) if (ability := _ability(part))}


def refuse_tensors(turns: Any, *, field: str) -> None:
    """Raises `BadRequest` when a part of `turns`, the value of `field`, holds a tensor."""
    for part in _parts(turns):
        kind = part.get("type")
        if isinstance(kind, str) and kind in TENSOR_PARTS:
            raise BadRequest(f"{field}: parts of type {kind} are not taken; send the media itself", param=field)


def _ability(part: dict[str, Any]) -> str | None:
    kind = part.get("type")
    return ABILITY_OF_PART.get(kind) if isinstance(kind, str) else None


def _parts(turns: Any) -> Iterator[dict[str, Any]]:
    """Every part of every turn; of tool results too, which hold parts of their own."""
    if not isinstance(turns, list):
        return
    for turn in turns:
        if not isinstance(turn, dict):
            continue
        for name in ("content", "output"):
            held = turn.get(name)
            if isinstance(held, list):
                yield from _nested(held)


def _nested(parts: list[Any]) -> Iterator[dict[str, Any]]:
    for part in parts:
        if isinstance(part, dict):
            yield part
            inner = part.get("content")
            if isinstance(inner, list):
                yield from (one for one in inner if isinstance(one, dict))
