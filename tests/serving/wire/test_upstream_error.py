"""Whatever an upstream says about a bad request, the client reads it in the shape of the API it was written for."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.wire.upstream_error import MAX_MESSAGE_CHARS, client_error, retry_header

CONTEXT = "This model's maximum context length is 1024 tokens. However, you requested 2000 tokens."
BODIES: dict[str, tuple[Any, dict[str, Any]]] = {
    "vllm": (
        {"error": {"message": "n: too large", "type": "BadRequestError", "param": "n", "code": 400}},
        {"message": "n: too large", "type": "invalid_request_error", "param": "n", "code": "invalid_request"},
    ),
    "openai": (
        {"error": {"message": "m", "type": "invalid_request_error", "param": None, "code": "content_filter", "x": 1}},
        {"message": "m", "type": "invalid_request_error", "param": None, "code": "content_filter"},
    ),
    "too long": (
        {"error": {"message": CONTEXT, "type": "BadRequestError", "param": "input_tokens", "code": 400}},
        {
            "message": CONTEXT,
            "type": "invalid_request_error",
            "param": "input_tokens",
            "code": "context_length_exceeded",
        },
    ),
    "flat": (
        {"object": "error", "message": "m", "type": "BadRequestError", "param": None, "code": 400},
        {"message": "m", "type": "invalid_request_error", "param": None, "code": "invalid_request"},
    ),
    "detail": ({"detail": "Not like this"}, {"message": "Not like this"}),
    "details": ({"detail": [{"loc": ["body"], "msg": "a"}, {"msg": "b"}]}, {"message": "a; b"}),
    "a text": ({"error": "no"}, {"message": "no"}),
    "anthropic": (
        {"type": "error", "error": {"type": "invalid_request_error", "message": "m"}},
        {"message": "m", "type": "invalid_request_error"},
    ),
    "nothing": ({}, {"message": "the model refused the request with status 400"}),
    "a list": ([1], {"message": "the model refused the request with status 400"}),
}


@pytest.mark.parametrize(("body", "error"), BODIES.values(), ids=BODIES.keys())
def test_four_keys(body: Any, error: dict[str, Any]) -> None:
    read = json.loads(client_error(json.dumps(body).encode(), 400, anthropic=False))
    assert set(read) == {"error"}
    assert set(read["error"]) == {"message", "type", "param", "code"}
    assert read["error"] | error == read["error"]


@pytest.mark.parametrize(("body", "error"), BODIES.values(), ids=BODIES.keys())
def test_anthropics_shape(body: Any, error: dict[str, Any]) -> None:
    read = json.loads(client_error(json.dumps(body).encode(), 400, anthropic=True))
    assert read == {"type": "error", "error": {"type": "invalid_request_error", "message": error["message"]}}


@pytest.mark.parametrize(
    ("status", "kind"), [(400, "invalid_request_error"), (413, "request_too_large"), (422, "invalid_request_error")]
)
def test_anthropics_name_comes_from_the_status(status: int, kind: str) -> None:
    body = client_error(b'{"error": {"message": "m", "type": "BadRequestError"}}', status, anthropic=True)
    assert json.loads(body)["error"]["type"] == kind


def test_no_page_and_no_novel_is_passed_on() -> None:
    assert b"<html>" not in client_error(b"<html>secret</html>", 400, anthropic=False)
    long = json.dumps({"error": {"message": "x" * 10**6}}).encode()
    assert len(client_error(long, 400, anthropic=False)) < MAX_MESSAGE_CHARS + 200


@given(st.binary(max_size=100) | st.recursive(st.none() | st.text() | st.integers(), lambda inner: st.dictionaries(
    st.sampled_from(["error", "message", "type", "param", "code", "detail"]), inner) | st.lists(inner)).map(
    lambda value: json.dumps(value).encode()), st.booleans())  # fmt: skip
def test_any_body_becomes_an_error_of_the_right_shape(body: bytes, anthropic: bool) -> None:
    error = json.loads(client_error(body, 400, anthropic=anthropic))["error"]
    assert isinstance(error["message"], str)
    assert isinstance(error["type"], str)
    assert anthropic or (error["param"] is None or isinstance(error["param"], str))
    assert anthropic or isinstance(error["code"], str)


@pytest.mark.parametrize(("status", "says"), [(400, "false"), (404, "false"), (422, "false"), (408, None), (429, None)])
def test_a_retry_is_discouraged_where_it_cannot_help(status: int, says: str | None) -> None:
    assert retry_header(status).get("x-should-retry") == says
