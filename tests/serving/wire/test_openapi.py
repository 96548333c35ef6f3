"""The OpenAPI document is valid, says what the tables say, and its schemas take whatever the gateway takes."""

from dataclasses import replace
from typing import Any

import pytest
import schemathesis
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from serving.errors import BadRequest
from serving.wire.limits import DEFAULTS
from serving.wire.openapi import error_codes, openapi, request_schema
from serving.wire.parameters import PARAMETERS, Parameter
from serving.wire.routes import CONTROL, RELAYED, STORED, Route
from tests.serving.asgi_call import ask, running
from tests.serving.world import KEY, World

DOCUMENT = openapi(DEFAULTS)


def test_schemathesis_accepts_it() -> None:
    schema = schemathesis.openapi.from_dict(DOCUMENT)
    schema.validate()
    assert len(list(schema.get_all_operations())) == len(RELAYED) + len(STORED) + len(CONTROL)


def test_paths_are_those_of_the_tables() -> None:
    named = {(path, method) for path, operations in DOCUMENT["paths"].items() for method in operations}
    relayed = {(path, "post") for path in RELAYED}
    assert named == relayed | {(one.path, one.method.lower()) for one in STORED} | {(path, "get") for path in CONTROL}


def test_ids_of_operations_are_unique() -> None:
    ids = [one["operationId"] for operations in DOCUMENT["paths"].values() for one in operations.values()]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("name", DOCUMENT["components"]["schemas"])
def test_schemas_are_valid(name: str) -> None:
    Draft202012Validator.check_schema(DOCUMENT["components"]["schemas"][name])


@pytest.mark.parametrize("path", RELAYED)
def test_every_error_is_an_answer_of_every_route(path: str) -> None:
    answers = DOCUMENT["paths"][path]["post"]["responses"]
    assert set(answers) == {"200", "4XX", *map(str, error_codes())}
    shape = "AnthropicError" if RELAYED[path].anthropic else "Error"
    assert answers["400"]["content"]["application/json"]["schema"]["$ref"].endswith(f"/{shape}")


def test_a_key_is_asked_for_except_where_the_table_says_none() -> None:
    assert DOCUMENT["security"] == [{"bearer": []}, {"x-api-key": []}]
    for path, own in CONTROL.items():
        assert (DOCUMENT["paths"][path]["get"]["security"] == []) == (own.key == "none")


def test_ranges_are_those_of_the_settings() -> None:
    schema = request_schema(RELAYED["/v1/chat/completions"], replace(DEFAULTS, max_n=3))
    assert schema["properties"]["n"] == {"anyOf": [{"type": "integer", "minimum": 1, "maximum": 3}, {"type": "null"}]}


@pytest.mark.parametrize("route", RELAYED.values(), ids=lambda route: route.path)
def test_unknown_fields_are_welcome(route: Route) -> None:
    schema = request_schema(route, DEFAULTS)
    assert "additionalProperties" not in schema
    assert "model" in schema["required"]


WORDS_AND_BOUNDS = ["none", "auto", "float", "base64", 0, 1, 2, 16, 17, 20, 21, -1, -2, 0.5, 1.5, 2.5]
FRACTIONS = st.floats(-1e9, 1e9).filter(lambda number: not number.is_integer())
SCALARS = st.booleans() | st.integers(-(2**64), 2**64) | FRACTIONS | st.text(max_size=4)
VALUES = st.recursive(
    SCALARS | st.sampled_from(WORDS_AND_BOUNDS),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.sampled_from(["type", "name", "1", "x"]), inner),
    max_leaves=8,
)


@pytest.mark.parametrize("one", PARAMETERS, ids=lambda one: f"{one.name} of {','.join(one.operations)}")
@settings(max_examples=40)
@given(value=VALUES)
def test_what_the_gateway_takes_the_schema_takes(one: Parameter, value: Any) -> None:
    if value in ([], {}) or not taken(one, value):
        return
    schema = one.kind.schema(DEFAULTS)
    assert Draft202012Validator(schema).is_valid(value), (schema, value)


def taken(one: Parameter, value: Any) -> bool:
    """Does the gateway take `value`?"""
    try:
        one.kind.check(one.name, value, DEFAULTS)
    except BadRequest:
        return False
    return True


@pytest.mark.parametrize("headers", [{}, {"authorization": f"Bearer {KEY}"}], ids=["no key", "key"])
async def test_served_without_a_key(headers: dict[str, str]) -> None:
    world = World()
    async with running(world) as app:
        call = await ask(app, "/openapi.json", method="GET", headers=headers)
    assert call.status == 200
    assert call.headers["content-type"] == "application/json"
    assert call.json() == openapi(world.limits)
