"""The objects of the Responses API that the gateway makes itself, or makes its own by changing a few fields.

Pure. An object that came from an upstream keeps every field it has.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from serving.errors import BadRequest, MillraceError

Object = Mapping[str, Any]

_ECHOED: Mapping[str, Any] = {
    "instructions": None,
    "max_output_tokens": None,
    "metadata": {},
    "model": "",
    "parallel_tool_calls": True,
    "reasoning": None,
    "service_tier": "auto",
    "temperature": None,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_p": None,
    "truncation": "disabled",
    "user": None,
}
"""What a response object repeats of its request, and what it says where the request said nothing."""
MAX_PAGE = 100


@dataclass(frozen=True, slots=True)
class Terms:
    """What a request asked of the gateway's store."""

    id: str
    store: bool
    previous_id: str | None
    background: bool

    @property
    def stateful(self) -> bool:
        """Does it need the store at all?"""
        return self.store or self.previous_id is not None


def terms_of(body: Object, *, stream: bool) -> Terms:
    """What `body` asks. Raises `BadRequest` for what contradicts itself or is not offered."""
    store = _boolean(body, "store", default=True)
    background = _boolean(body, "background", default=False)
    previous = body.get("previous_response_id")
    if previous is not None and (not isinstance(previous, str) or not previous):
        raise BadRequest("previous_response_id: must be the id of a response", param="previous_response_id")
    if body.get("conversation") is not None:
        raise BadRequest("conversation: not supported; continue with previous_response_id", param="conversation")
    if background and not store:
        raise BadRequest("background: needs store to be true, to be retrieved later", param="background")
    if background and stream:
        raise BadRequest("background: cannot be streamed; leave stream out and retrieve it by id", param="background")
    return Terms(f"resp_{os.urandom(24).hex()}", store, previous, background)


def _boolean(body: Object, name: str, *, default: bool) -> bool:
    value = body.get(name)
    if value is None:
        return default
    if not isinstance(value, bool):
        raise BadRequest(f"{name}: must be true or false", param=name)
    return value


def owned(response: Object, terms: Terms) -> dict[str, Any]:
    """An upstream's response object as this gateway's own."""
    return {
        **response,
        "id": terms.id,
        "store": terms.store,
        "previous_response_id": terms.previous_id,
        "background": terms.background,
    }


def completed(before: Object, answer: Object, terms: Terms) -> dict[str, Any]:
    """A whole answer as this gateway's own: what it leaves out is as it was `before`, and done it is."""
    return owned({**before, "status": "completed", **answer}, terms)


def queued(body: Object, terms: Terms, *, now_s: float) -> dict[str, Any]:
    """The response object before any upstream was asked."""
    echoed = {name: default if body.get(name) is None else body[name] for name, default in _ECHOED.items()}
    head = {"object": "response", "created_at": int(now_s), "status": "queued", "output": []}
    none = dict.fromkeys(("error", "incomplete_details", "usage"))
    return owned({**head, **none, **echoed}, terms)


def failed(response: Object, *, code: str, message: str) -> dict[str, Any]:
    """`response` as one that failed."""
    return {**response, "status": "failed", "error": {"code": code, "message": message}}


def failed_with(response: Object, error: MillraceError) -> dict[str, Any]:
    """`response` as one that failed with `error`."""
    return failed(response, code=error.code, message=error.message)


def deleted(id: str) -> Object:
    """The answer to a DELETE."""
    return {"id": id, "object": "response", "deleted": True}


def page_of(items: Sequence[Object], *, limit: int, ascending: bool, after: str | None) -> Object:
    """One page of a list, in OpenAI's shape. Raises `BadRequest` when `after` is none of the items."""
    ordered = list(items) if ascending else list(reversed(items))
    if after is not None:
        place = next((place for place, item in enumerate(ordered) if item.get("id") == after), None)
        if place is None:
            raise BadRequest("after: no item of this response has that id", param="after")
        ordered = ordered[place + 1 :]
    page = ordered[:limit]
    ends = {"first_id": page[0]["id"], "last_id": page[-1]["id"]} if page else {"first_id": None, "last_id": None}
    return {"object": "list", "data": page, **ends, "has_more": len(ordered) > limit}
