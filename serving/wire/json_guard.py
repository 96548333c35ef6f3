"""JSON bodies as objects, or a `BadRequest`: UTF-8, finite numbers, bounded depth, no key twice.

Knows no field of any protocol. That no key was lost is seen without a second parse: a bound on the keys in the raw
bytes, counted at C speed, must equal the keys of what was decoded. Only where it does not is the body read again,
slowly and exactly.
"""

import json
import re
from collections import Counter
from typing import Any

import msgspec

from serving.errors import BadRequest

MAX_CONTAINERS = 200_000
"""Objects and lists in one body, those that only look like some within a text included: each costs the loop time."""
_SHOWN_CHARS = 64
_SPACED = re.compile(rb'"[ \t\n\r]+:')


def decode_object(raw: bytes, *, max_depth: int) -> dict[str, Any]:
    """The JSON object in `raw`. Raises `BadRequest` for anything else, naming what is wrong with it."""
    if raw.count(b"{") + raw.count(b"[") > MAX_CONTAINERS:
        raise BadRequest(f"the body holds over {MAX_CONTAINERS} objects and lists; send fewer")
    try:
        body = msgspec.json.decode(raw)
    except RecursionError as error:
        raise _too_deep(max_depth) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadRequest(f"the body is not valid JSON: {error}; send one JSON object in UTF-8") from error
    if not isinstance(body, dict):
        raise BadRequest(f"the body must be a JSON object, not {json_type(body)}")
    if keys_at_most(raw) != count_keys(body, max_depth=max_depth):
        _refuse_repeated_key(raw)
    return body


def count_keys(body: dict[str, Any], *, max_depth: int) -> int:
    """How many keys the objects of `body` have together. Raises `BadRequest` when it is nested over `max_depth`."""
    keys = 0
    level: list[Any] = [body]
    for _ in range(max_depth):
        deeper: list[Any] = []
        for node in level:
            if type(node) is dict:
                keys += len(node)
                deeper += [value for value in node.values() if type(value) is dict or type(value) is list]
            else:
                deeper += [value for value in node if type(value) is dict or type(value) is list]
        if not deeper:
            return keys
        level = deeper
    raise _too_deep(max_depth)


def keys_at_most(raw: bytes) -> int:
    """An upper bound of the keys in valid JSON, exact unless a string holds or begins with what could end a key.

    A key ends with a quote and a colon. The same two within a string have a backslash before them and are not counted,
    unless there are two: then the quote may end a key whose last character is a backslash.
    """
    found = raw.count(b'":')
    if b"\\" in raw:
        found += raw.count(b'\\\\":') - raw.count(b'\\":')
    return found + len(_SPACED.findall(raw))


def _refuse_repeated_key(raw: bytes) -> None:
    """Read `raw` again, pair by pair. Raises `BadRequest` for the first key that is there twice."""

    def unique(pairs: list[tuple[str, Any]]) -> None:
        if len({name for name, _ in pairs}) == len(pairs):
            return
        name = Counter(name for name, _ in pairs).most_common(1)[0][0][:_SHOWN_CHARS]
        raise BadRequest(f"{name}: appears twice in one JSON object; send every key once", param=name)

    json.loads(raw, object_pairs_hook=unique, strict=False)


def _too_deep(max_depth: int) -> BadRequest:
    return BadRequest(f"the body is nested too deeply: over {max_depth} levels (setting max_json_depth); flatten it")


def json_type(value: Any) -> str:
    """What a client calls `value`."""
    if value == "":
        return "an empty string"
    if value == []:
        return "an empty list"
    names = {dict: "an object", list: "a list", str: "a string", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")
