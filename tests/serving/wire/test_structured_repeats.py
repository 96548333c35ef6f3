"""Counts in braces are bounded: what they cost a grammar compiler grows with their square."""

from typing import Any

import pytest

from serving.errors import BadRequest
from serving.wire.limits import DEFAULTS
from serving.wire.structured import check_pattern, check_schema

BOMBS = [
    "a{1,20000}",
    "a{20000}",
    "a{1001,}",
    "a{,1001}",
    "(x{ 1 , 1001 })",
    "a{999}b{999}",
    "\\\\{1,2000}",
    "a{" + "9" * 99 + "}",
    "a{" + "0" * 99 + "20000}",
]


@pytest.mark.parametrize("pattern", BOMBS)
def test_a_pattern_that_repeats_too_often(pattern: str) -> None:
    with pytest.raises(BadRequest, match="repeats over 1000 times") as caught:
        check_pattern("guided_regex", pattern, DEFAULTS)
    assert caught.value.param == "guided_regex"
    with pytest.raises(BadRequest, match="repeats over 1000 times"):
        check_schema("s", {"properties": {"x": {"type": "string", "pattern": pattern}}}, DEFAULTS)


@pytest.mark.parametrize(
    "pattern", ["a{1000}", "a{1,700}b{1,700}", "(a{1,64}-){3}", "[0-9]{4}-[0-9]{2}", "{}", "{a,b}", "1001"]
)
def test_patterns_as_they_are_used(pattern: str) -> None:
    check_pattern("guided_regex", pattern, DEFAULTS)


def test_patterns_of_a_schema_add_up() -> None:
    def schema(count: int) -> dict[str, Any]:
        return {"properties": {f"p{n}": {"type": "string", "pattern": "x{1,100}"} for n in range(count)}}

    check_schema("s", schema(99), DEFAULTS)
    with pytest.raises(BadRequest, match="repeats over 1000 times"):
        check_schema("s", schema(101), DEFAULTS)


def test_names_by_pattern_count_too() -> None:
    with pytest.raises(BadRequest, match="repeats"):
        check_schema("s", {"patternProperties": {"a{5000}": {}}}, DEFAULTS)
