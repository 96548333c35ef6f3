"""Input items: given ids to be kept and listed by, and turned back into what a model reads in the next turn.

Pure. Knows the item types of the Responses API as far as that takes; those it does not know pass through.
"""

import os
from collections.abc import Mapping, Sequence
from typing import Any

from serving.errors import BadRequest

Item = Mapping[str, Any]

PREFIXES = {"message": "msg", "function_call": "fc", "function_call_output": "fco", "reasoning": "rs"}
RUN_BY_SERVER = frozenset(
    {
        "code_interpreter_call",
        "file_search_call",
        "image_generation_call",
        "mcp_call",
        "mcp_list_tools",
        "web_search_call",
    }
)
"""Outputs that record what a hosted API's own tools did. Engines refuse them, and the answer says the outcome."""
_KEPT_BY_SERVER = ("id", "status")
"""Fields that only mean something to the server that gave them."""


def numbered(given: Any) -> list[Item]:
    """A request's `input`, or an answer's `output`, as items, each with a type and an id. Raises `BadRequest`."""
    if isinstance(given, str):
        return [_numbered({"type": "message", "role": "user", "content": given})]
    items = []
    for index, item in enumerate(given):
        if not isinstance(item, dict):
            raise BadRequest(f"input[{index}]: must be an object", param=f"input[{index}]")
        items.append(_numbered(item))
    return items


def _numbered(item: Item) -> Item:
    kind = str(item.get("type") or "message")
    if kind == "item_reference":
        raise BadRequest(
            "input: item_reference is not supported; use previous_response_id, or send the item itself", param="input"
        )
    named: dict[str, Any] = {**item, "type": kind}
    if not isinstance(item.get("id"), str):
        named["id"] = f"{PREFIXES.get(kind, 'item')}_{os.urandom(16).hex()}"
    if kind == "message" and isinstance(item.get("content"), str):
        named["content"] = [_text_part(str(item.get("role")), item["content"])]
    if kind in ("message", "function_call", "function_call_output"):
        named.setdefault("status", "completed")
    return named


def _text_part(role: str, text: str) -> Item:
    if role == "assistant":
        return {"type": "output_text", "text": text, "annotations": []}
    return {"type": "input_text", "text": text}


def continued(earlier: Sequence[Item], given: Any) -> list[Item]:
    """What a model is sent: the `earlier` items in a form that every upstream reads, then the request's own `input`.

    Reasoning is sent on only inside a turn that is still going on (a tool was called and has now answered): models drop
    it after that, and what is encrypted can only be read by the account it was made for.
    """
    new = [{"type": "message", "role": "user", "content": given}] if isinstance(given, str) else list(given)
    items = [*earlier, *new]
    turn = max((place for place, item in enumerate(items) if _is_question(item)), default=-1)
    sent = (_sent(item, going_on=place > turn) for place, item in enumerate(earlier))
    return [*(item for item in sent if item is not None), *new]


def _is_question(item: Any) -> bool:
    return isinstance(item, dict) and item.get("role") == "user"


def _sent(item: Item, *, going_on: bool) -> Item | None:
    kind = item.get("type")
    if kind in RUN_BY_SERVER:
        return None
    if kind == "reasoning":
        readable = going_on and item.get("content")
        return {"type": kind, "summary": [], "content": item["content"]} if readable else None
    bare = {key: value for key, value in item.items() if key not in _KEPT_BY_SERVER and value is not None}
    if kind == "message" and isinstance(bare.get("content"), list):
        return bare | {"content": _content(str(bare.get("role")), bare["content"])}
    return bare


def _content(role: str, parts: Sequence[Any]) -> Any:
    """Plain text where there is nothing else: the one form that every upstream takes whole, refusals included."""
    texts = [_text_of(part) for part in parts]
    if role == "assistant" or all(isinstance(part, dict) and part.get("type") == "input_text" for part in parts):
        return "".join(text for text in texts if text is not None)
    return parts


def _text_of(part: Any) -> str | None:
    if not isinstance(part, dict):
        return None
    text = part.get("text", part.get("refusal"))
    return text if isinstance(text, str) else None
