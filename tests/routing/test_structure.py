"""The form of an answer: JSON and its schema, tool calls, code, refusals."""

import pytest

from routing.structure import MAX_CODE_CHARS, MAX_JSON_CHARS, NAMES, fits, judge_json, parses, structure


def named(answer: str, schema: dict[str, object] | None = None, *tools: tuple[str, dict[str, object] | None]):  # type: ignore[no-untyped-def]
    return dict(zip(NAMES, structure(answer, schema=schema, tools=tools), strict=True))


@pytest.mark.parametrize(
    ("code", "good"),
    [
        ("x = 1\n", True),
        ("def f(:\n", False),
        ("x = '\\d'", True),
        ("a\x00b", False),
        ("(" * 100, True),
        ("x = [(1)]", True),
        ("!" * (MAX_CODE_CHARS + 1), True),
    ],
    ids=["fine", "syntax", "warning", "nul", "deep", "nested", "long"],
)
def test_code_parses(code: str, good: bool) -> None:
    assert parses(code) is good


def test_blocks_of_code_are_judged_one_by_one() -> None:
    found = named("```python\nx = 1\n```\nand\n```py\nx = \n```\n```js\nlet\n```")
    assert (found["code_blocks"], found["code_broken"], found["fence_open"]) == (2, 1, 0)


def test_a_block_that_was_never_closed() -> None:
    assert named("```python\nx = 1")["fence_open"] == 1


def test_json_is_judged_where_it_was_asked_for() -> None:
    assert named("no json")["json_broken"] == 0
    assert named("no json", {})["json_broken"] == 1
    assert named("no json", {})["schema_misfit"] == 1
    assert named("[1]", {"type": "object"})["schema_misfit"] == 1
    assert named("[1]", {"type": "array"})["schema_misfit"] == 0


def test_what_is_too_long_counts_as_sound() -> None:
    assert judge_json("[" * (MAX_JSON_CHARS + 1), {}) == (True, True)
    assert judge_json("[" * 20_000, {}) == (False, False)


def test_tool_calls_need_a_known_tool_and_fitting_arguments() -> None:
    schema: dict[str, object] = {"type": "object", "required": ["city"]}
    assert named("", None, ('{"city": "Bonn"}', schema))["tool_broken"] == 0
    assert named("", None, ("{}", schema), ("{", schema), ("{}", None))["tool_broken"] == 3


@pytest.mark.parametrize(
    ("value", "schema", "fit"),
    [
        (1, {}, True),
        (1, True, True),
        (1, False, False),
        (1, {"type": "integer"}, True),
        (1.0, {"type": "integer"}, True),
        (1.5, {"type": "integer"}, False),
        (1.5, {"type": "number"}, True),
        (True, {"type": "integer"}, False),
        (True, {"type": "boolean"}, True),
        ("a", {"type": ["string", "null"]}, True),
        (None, {"type": ["string", "null"]}, True),
        (1, {"type": "made up"}, True),
        ("a", {"enum": ["b"]}, False),
        ("b", {"enum": ["b"]}, True),
        ("b", {"const": "b"}, True),
        (None, {"const": "b"}, False),
        ([1, "a"], {"items": {"type": "integer"}}, False),
        ([1, 2], {"items": {"type": "integer"}}, True),
        ([1, 2], {"type": "array"}, True),
        ({"a": 1}, {"required": ["a", "b"]}, False),
        ({"a": 1}, {"required": ["a"]}, True),
        ({"a": 1}, {"properties": {"a": {"type": "string"}}}, False),
        ({"a": 1, "b": 2}, {"properties": {"a": {}}, "additionalProperties": False}, False),
        ({"a": 1}, {"properties": {"a": {}}, "additionalProperties": False}, True),
        ({"a": "x"}, {"additionalProperties": {"type": "integer"}}, False),
    ],
)
def test_fits_a_schema(value: object, schema: object, fit: bool) -> None:
    assert fits(value, schema) is fit


def test_a_schema_that_goes_on_for_ever_ends() -> None:
    value: object = 1
    for _ in range(60):
        value = [value]
    endless: dict[str, object] = {}
    endless["items"] = endless
    assert fits(value, endless)
