"""Whatever is wrong with a request, the client is told which field and how to mend it, and no model is asked."""

import json
from typing import Any

import pytest

from tests.doubles.running_gateway import ASKED, CHAT, GatewayServer, House, chat_body
from tests.serving.refusal import assert_refused

NOT_JSON: dict[str, bytes] = {
    "empty": b"",
    "cut": b'{"model": "auto"',
    "trailing": b"{} {}",
    "nan": b'{"model": "auto", "temperature": NaN}',
    "infinity": b'{"model": "auto", "temperature": Infinity}',
    "1e400": b'{"model": "auto", "temperature": 1e400}',
    "not utf-8": b'{"model": "\xff\xfe"}',
    "byte order mark": b'\xef\xbb\xbf{"model": "auto"}',
}


@pytest.mark.parametrize("raw", NOT_JSON.values(), ids=NOT_JSON.keys())
async def test_malformed_json(gateway: GatewayServer, raw: bytes) -> None:
    answer = await gateway.ask(data=raw, headers={"content-type": "application/json"})
    await assert_refused(gateway, answer, 400, "invalid_request", "not valid JSON")


@pytest.mark.parametrize(
    "raw",
    [b"[" * 100_000, b'{"model":' * 100_000, b'{"a": ' + b"[" * 64 + b"]" * 64 + b"}"],
    ids=["lists", "objects", "65"],
)
async def test_body_nested_too_deeply(gateway: GatewayServer, raw: bytes) -> None:
    await assert_refused(gateway, await gateway.ask(data=raw), 400, "invalid_request", "nested too deeply")


async def test_key_that_is_there_twice(gateway: GatewayServer) -> None:
    raw = b'{"model": "small-model", "messages": [{"role": "user", "content": "a"}], "model": "hosted-model"}'
    answer = await gateway.ask(data=raw)
    await assert_refused(gateway, answer, 400, "invalid_request", "model: appears twice")
    assert answer.error["param"] == "model"


@pytest.mark.parametrize("body", [[], "text", 1, None, True], ids=["list", "string", "number", "null", "boolean"])
async def test_body_that_is_no_object(gateway: GatewayServer, body: Any) -> None:
    answer = await gateway.ask(data=json.dumps(body).encode())
    await assert_refused(gateway, answer, 400, "invalid_request", "must be a JSON object")


WRONG_FIELDS: dict[str, tuple[dict[str, Any], str]] = {
    "model missing": ({"model": None}, "model"),
    "model empty": ({"model": ""}, "model"),
    "model a number": ({"model": 7}, "model"),
    "model a list": ({"model": ["auto"]}, "model"),
    "messages missing": ({"messages": None}, "messages"),
    "messages a string": ({"messages": "hello"}, "messages"),
    "messages empty": ({"messages": []}, "messages"),
    "messages an object": ({"messages": {"role": "user"}}, "messages"),
    "message a string": ({"messages": ["hello"]}, "messages[0]"),
    "message without a role": ({"messages": [*ASKED, {"content": "x"}]}, "messages[1].role"),
    "role a number": ({"messages": [{"role": 1, "content": "x"}]}, "messages[0].role"),
    "stream a string": ({"stream": "yes"}, "stream"),
    "stream a number": ({"stream": 1}, "stream"),
    "stream_options a list": ({"stream": True, "stream_options": []}, "stream_options"),
    "n": ({"n": 17}, "n"),
    "temperature": ({"temperature": 3}, "temperature"),
    "stop": ({"stop": ["a"] * 5}, "stop"),
    "logit_bias": ({"logit_bias": {"x": 1}}, "logit_bias"),
    "json_schema without a name": (
        {"response_format": {"type": "json_schema", "json_schema": {"schema": {}}}},
        "response_format.json_schema.name",
    ),
    "strict a string": (
        {"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": {}, "strict": "yes"}}},
        "response_format.json_schema.strict",
    ),
    "tool without a name": ({"tools": [{"type": "function", "function": {}}]}, "tools[0].function.name"),
    "a tensor in a message": (
        {"messages": [{"role": "user", "content": [{"type": "image_embeds", "image_embeds": "AA=="}]}]},
        "messages",
    ),
    "routing a list": ({"routing": []}, "routing"),
    "routing with an unknown key": ({"routing": {"hostde": "never"}}, "routing.hostde"),
    "routing.hosted unknown": ({"routing": {"hosted": "sometimes"}}, "routing.hosted"),
    "routing.allow a string": ({"routing": {"allow": "small"}}, "routing.allow"),
    "routing.quality_floor too high": ({"routing": {"quality_floor": 2}}, "routing.quality_floor"),
    "routing.quality_floor a boolean": ({"routing": {"quality_floor": True}}, "routing.quality_floor"),
}


@pytest.mark.parametrize(("fields", "named"), WRONG_FIELDS.values(), ids=WRONG_FIELDS.keys())
async def test_wrong_field_is_named(gateway: GatewayServer, fields: dict[str, Any], named: str) -> None:
    answer = await gateway.chat(**fields)
    await assert_refused(gateway, answer, 400, "invalid_request", f"{named}: ")
    assert answer.error["param"] == named


async def test_misspelt_routing_key_gets_the_nearest_name(gateway: GatewayServer) -> None:
    answer = await gateway.chat(routing={"hostde": "never"})
    assert "'hosted'" in answer.error["message"]


@pytest.mark.parametrize(
    ("path", "body", "named"),
    [
        ("/v1/completions", {"model": "auto"}, "prompt"),
        ("/v1/completions", {"model": "auto", "prompt": 5}, "prompt"),
        ("/v1/responses", {"model": "auto"}, "input"),
        ("/v1/embeddings", {"model": "auto", "input": []}, "input"),
        ("/v1/embeddings", {"model": "auto", "input": ["a"] * 2049}, "input"),
        ("/v1/messages/count_tokens", {"model": "auto", "messages": []}, "messages"),
        ("/v1/embeddings", {"model": "auto", "input": "a", "stream": True}, "stream"),
    ],
    ids=[
        "no prompt",
        "prompt a number",
        "no input",
        "input empty",
        "inputs",
        "nothing to count",
        "embeddings do not stream",
    ],
)
async def test_wrong_field_of_other_routes(gateway: GatewayServer, path: str, body: dict[str, Any], named: str) -> None:
    answer = await gateway.ask(path, json=body)
    if path.startswith("/v1/messages"):
        assert answer.status == 400
        assert answer.error["type"] == "invalid_request_error"
        assert answer.error["message"].startswith(f"{named}: ")
        return
    await assert_refused(gateway, answer, 400, "invalid_request", f"{named}: ")
    assert answer.error["param"] == named


@pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
async def test_unknown_model(gateway: GatewayServer, stream: bool) -> None:
    answer = await gateway.chat(model="gpt-99", stream=stream)
    await assert_refused(gateway, answer, 404, "model_not_found", "gpt-99")
    assert answer.error["param"] == "model"


async def test_model_that_cannot_do_it(house: House, gateway: GatewayServer) -> None:
    answer = await gateway.ask("/v1/rerank", json={"model": "small-model", "query": "a", "documents": ["b"]})
    await assert_refused(gateway, answer, 404, "no_route", "lacks a capability the request needs: rerank")


@pytest.mark.parametrize(
    ("fields", "lacking"),
    [
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools"),
        ({"response_format": {"type": "json_object"}}, "json"),
        ({"messages": [{"role": "user", "content": [{"type": "input_audio"}, {"type": "video_url"}]}]}, "audio, video"),
    ],
    ids=["tools", "json", "media"],
)
async def test_the_missing_ability_is_named(gateway: GatewayServer, fields: dict[str, Any], lacking: str) -> None:
    answer = await gateway.chat(**fields)
    await assert_refused(gateway, answer, 404, "no_route", f"lacks a capability the request needs: {lacking}")


@pytest.mark.parametrize(
    "path", ["//", "/v1", "/v1/chat", "/v1/chat/completions/", "/invocations", "/engine/state", "/v1/files", "/docs"]
)
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_unknown_path(gateway: GatewayServer, path: str, method: str) -> None:
    answer = await gateway.ask(path, method=method)
    await assert_refused(gateway, answer, 404, "route_not_found", path)


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", CHAT), ("PUT", CHAT), ("DELETE", CHAT), ("POST", "/health"), ("POST", "/v1/models"), ("GET", "/tokenize")],
)
async def test_wrong_method(gateway: GatewayServer, method: str, path: str) -> None:
    answer = await gateway.ask(path, method=method)
    await assert_refused(gateway, answer, 405, "method_not_allowed", path)


INJECTED = (
    "api_base",
    "base_url",
    "api_key",
    "extra_headers",
    "headers",
    "plugins",
    "callbacks",
    "user_config",
    "host",
)


async def test_no_field_chooses_a_provider_or_adds_a_header(gateway: GatewayServer) -> None:
    """Not at the top; within `metadata` and a tool's parameters the same names are the client's own words."""
    evil = dict.fromkeys(INJECTED, "http://127.0.0.1:1/evil")
    tool = {"type": "web_search", "parameters": evil}
    answer = await gateway.chat(**evil, model="hosted-model", metadata=evil, tools=[tool], unknown={"deep": [evil]})
    assert answer.status == 200
    last = gateway.house.hosted.state()["last"]
    assert not set(INJECTED) & set(last["body"])
    assert (last["body"]["metadata"], last["body"]["tools"]) == (evil, [tool])
    assert "evil" not in json.dumps(last["headers"])


async def test_deadline_of_the_clients_own(gateway: GatewayServer) -> None:
    wrong = await gateway.ask(json=chat_body(), headers={"x-millrace-timeout-s": "soon"})
    await assert_refused(gateway, wrong, 400, "invalid_request", "x-millrace-timeout-s: must be seconds")
    assert (await gateway.ask(json=chat_body(), headers={"x-millrace-timeout-s": "20"})).status == 200


async def test_what_clients_put_beside_the_path_and_the_body_is_ignored(gateway: GatewayServer) -> None:
    answer = await gateway.ask(f"{CHAT}?beta=true", json=chat_body(), headers={"idempotency-key": "k-1"})
    assert answer.status == 200
    counted = await gateway.ask("/v1/messages/count_tokens?beta=true", json={"messages": ASKED})
    assert (counted.status, counted.error["type"]) == (400, "invalid_request_error")


@pytest.mark.parametrize(
    ("body", "key", "status"),
    [({"model": "nothing", "messages": ASKED}, "", 404), ({"messages": ASKED}, "", 400), ({}, None, 401)],
    ids=["model", "field", "key"],
)
async def test_messages_route_has_its_own_error_shape(
    gateway: GatewayServer, body: dict[str, Any], key: str | None, status: int
) -> None:
    answer = await gateway.ask("/v1/messages", json=body, key=key)
    assert answer.status == status
    assert answer.json()["type"] == "error"
    assert set(answer.json()["error"]) == {"type", "message"}
    assert answer.headers["x-request-id"]
