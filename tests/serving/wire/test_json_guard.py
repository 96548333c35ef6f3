"""No key is lost, no number infinite, no body too deep: the quick check agrees with the slow one on every body."""

import json
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.errors import BadRequest
from serving.wire.json_guard import MAX_CONTAINERS, count_keys, decode_object, json_type, keys_at_most

awkward = st.text(alphabet='":\\ \n\t{}[],a\u00e9', max_size=6) | st.sampled_from(
    ["a", "b", "", '":', '\\":', "\\", ":"]
)
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | awkward
spaces = st.sampled_from(["", " ", "\n", " \t", "\r\n  "])


@st.composite
def documents(draw: st.DrawFn, depth: int = 3) -> tuple[str, bool]:
    """A JSON object as text, with any spaces, and whether a key is twice in one of its objects."""
    names = draw(st.lists(awkward, max_size=4))
    twice = len(set(names)) < len(names)
    parts = []
    for name in names:
        text, inner = (
            draw(documents(depth - 1)) if depth and draw(st.booleans()) else (json.dumps(draw(scalars)), False)
        )
        if draw(st.booleans()):
            text = f"[{text}{draw(spaces)}]"
        twice = twice or inner
        key = json.dumps(name, ensure_ascii=draw(st.booleans()))
        parts.append(f"{draw(spaces)}{key}{draw(spaces)}:{draw(spaces)}{text}{draw(spaces)}")
    return "{" + ",".join(parts) + "}", twice


def occurrences(raw: str) -> int:
    """How many keys there are, counted by the slow parser, the lost ones too."""
    found = 0

    def count(pairs: list[tuple[str, Any]]) -> None:
        nonlocal found
        found += len(pairs)

    json.loads(raw, object_pairs_hook=count)
    return found


@given(documents())
def test_a_repeated_key_is_found_exactly_where_there_is_one(document: tuple[str, bool]) -> None:
    text, twice = document
    if twice:
        with pytest.raises(BadRequest, match="appears twice"):
            decode_object(text.encode(), max_depth=64)
    else:
        assert decode_object(text.encode(), max_depth=64) == json.loads(text)


@given(documents())
def test_the_bound_is_never_below_the_keys(document: tuple[str, bool]) -> None:
    raw = document[0].encode()
    assert count_keys(msgspec.json.decode(raw), max_depth=64) <= occurrences(document[0]) <= keys_at_most(raw)


@pytest.mark.parametrize(
    "body",
    [
        {"model": "auto", "messages": [{"role": "user", "content": 'say "x": 1'}], "stream": True},
        {"tool_calls": [{"function": {"arguments": '{"city": "Rome", "days":3}'}}]},
        {"a\\": 1},
    ],
    ids=["quotes", "tool arguments", "backslash"],
)
@pytest.mark.parametrize("indent", [None, 2])
def test_the_bound_is_exact_for_ordinary_bodies(body: dict[str, Any], indent: int | None) -> None:
    raw = json.dumps(body, indent=indent)
    assert keys_at_most(raw.encode()) == occurrences(raw)


@pytest.mark.parametrize(
    ("raw", "param"),
    [
        (b'{"model": "a", "model": "b"}', "model"),
        (b'{"a": {"b": 1, "b": 1}}', "b"),
        (b'{"a": 1, "\\u0061" : 1}', "a"),
        (b'{"' + b"k" * 999 + b'": 1, "' + b"k" * 999 + b'": 2}', "k" * 64),
    ],
    ids=["top", "nested", "escaped", "long"],
)
def test_the_repeated_key_is_named(raw: bytes, param: str) -> None:
    with pytest.raises(BadRequest, match="appears twice in one JSON object") as caught:
        decode_object(raw, max_depth=64)
    assert caught.value.param == param


def nested(levels: int) -> bytes:
    return b'{"a":' * (levels - 1) + b"{}" + b"}" * (levels - 1)


def test_depth_is_bounded_to_the_level() -> None:
    assert decode_object(nested(8), max_depth=8)
    for raw in (nested(9), b'{"a":' + b"[" * 100_000, b'{"a":' + b"[" * 8 + b"]" * 8 + b"}"):
        with pytest.raises(BadRequest, match="nested too deeply: over 8 levels"):
            decode_object(raw, max_depth=8)


def test_objects_and_lists_are_bounded_before_anything_is_built() -> None:
    assert (
        len(decode_object(b'{"a":[' + b"[]," * (MAX_CONTAINERS - 3) + b"[]]}", max_depth=64)["a"]) == MAX_CONTAINERS - 2
    )
    with pytest.raises(BadRequest, match=f"over {MAX_CONTAINERS} objects and lists"):
        decode_object(b'{"a":[' + b"{}," * (MAX_CONTAINERS - 2) + b"{}]}", max_depth=64)


@pytest.mark.parametrize(
    "raw",
    [b"", b"{", b"{} {}", b'{"a": NaN}', b'{"a": -Infinity}', b'{"a": 1e400}', b'{"a": "\xff"}', b"\xef\xbb\xbf{}"],
)
def test_what_is_no_json(raw: bytes) -> None:
    with pytest.raises(BadRequest, match="not valid JSON"):
        decode_object(raw, max_depth=64)


@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_but_a_bad_request(raw: bytes) -> None:
    with suppress(BadRequest):
        assert isinstance(decode_object(raw, max_depth=64), dict)


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ("", "an empty string"),
        ([], "an empty list"),
        ({}, "an object"),
        ([1], "a list"),
        (None, "null"),
        (1.5, "a number"),
    ],
)
def test_types_have_their_json_names(value: Any, name: str) -> None:
    assert json_type(value) == name
