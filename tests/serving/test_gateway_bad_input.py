"""Whatever is wrong with a request, the client is told which field and how to mend it, and no model is asked."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from tests.doubles.running_gateway import (
    ASKED,
    CHAT,
    Answer,
    GatewayServer,
    House,
    chat_body,
    eventually,
    running_gateway,
)


async def assert_refused(gateway: GatewayServer, answer: Answer, status: int, code: str, says: str = "") -> None:
    """The OpenAI error shape, and nothing reached a model."""
    assert answer.status == status, answer.body
    assert set(answer.error) == {"message", "type", "param", "code"}
    assert answer.error["code"] == code
    assert says in answer.error["message"]
    assert answer.headers["x-request-id"]
    assert answer.headers["content-type"] == "application/json"
    assert [stand_in.state()["requests"] for stand_in in gateway.house.all] == [0, 0, 0]


NOT_JSON: dict[str, bytes] = {
    "empty": b"",
    "cut": b'{"model": "auto"',
    "trailing": b"{} {}",
    "nan": b'{"model": "auto", "temperature": NaN}',
    "infinity": b'{"model": "auto", "temperature": Infinity}',
    "not utf-8": b'{"model": "\xff\xfe"}',
    "too deep": b"[" * 100_000,
}


@pytest.mark.parametrize("raw", NOT_JSON.values(), ids=NOT_JSON.keys())
async def test_malformed_json(gateway: GatewayServer, raw: bytes) -> None:
    answer = await gateway.ask(data=raw, headers={"content-type": "application/json"})
    await assert_refused(gateway, answer, 400, "invalid_request", "not valid JSON")


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
        ("/v1/embeddings", {"model": "auto", "input": "a", "stream": True}, "stream"),
    ],
    ids=["no prompt", "prompt a number", "no input", "input empty", "embeddings do not stream"],
)
async def test_wrong_field_of_other_routes(gateway: GatewayServer, path: str, body: dict[str, Any], named: str) -> None:
    answer = await gateway.ask(path, json=body)
    await assert_refused(gateway, answer, 400, "invalid_request", f"{named}: ")
    assert answer.error["param"] == named


@pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
async def test_unknown_model(gateway: GatewayServer, stream: bool) -> None:
    answer = await gateway.chat(model="gpt-99", stream=stream)
    await assert_refused(gateway, answer, 404, "model_not_found", "gpt-99")
    assert answer.error["param"] == "model"


async def test_model_that_cannot_do_it(house: House, gateway: GatewayServer) -> None:
    answer = await gateway.ask("/v1/rerank", json={"model": "small-model", "query": "a", "documents": ["b"]})
    await assert_refused(gateway, answer, 404, "no_route", "lacks a capability")


@pytest.mark.parametrize(
    "path", ["/", "/v1", "/v1/chat", "/v1/chat/completions/", "/invocations", "/engine/state", "/v1/files", "/docs"]
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


WRONG_KEYS: dict[str, dict[str, str]] = {
    "missing": {},
    "empty": {"authorization": "Bearer "},
    "no scheme": {"authorization": "mr-abc"},
    "other scheme": {"authorization": "Basic bXItYWJj"},
    "unknown": {"authorization": "Bearer mr-" + "A" * 49},
    "not ours": {"authorization": "Bearer sk-something"},
    "not ascii": {"authorization": "Bearer m\u00e9"},
    "unknown as x-api-key": {"x-api-key": "mr-" + "A" * 49},
}


@pytest.mark.parametrize("headers", WRONG_KEYS.values(), ids=WRONG_KEYS.keys())
async def test_every_wrong_key_gets_the_same_answer(gateway: GatewayServer, headers: dict[str, str]) -> None:
    reference = await gateway.ask(json=chat_body(), key=None)
    answer = await gateway.ask(json=chat_body(), key=None, headers=headers)
    await assert_refused(gateway, answer, 401, "invalid_api_key")
    assert answer.body == reference.body


async def test_key_is_checked_before_the_body(gateway: GatewayServer) -> None:
    answer = await gateway.ask(data=b"no json", key=None)
    await assert_refused(gateway, answer, 401, "invalid_api_key")


@pytest.mark.parametrize("path", ["/v1/models", "/v1/models/small-model"])
async def test_models_need_a_key(gateway: GatewayServer, path: str) -> None:
    await assert_refused(gateway, await gateway.get(path, key=None), 401, "invalid_api_key")


async def test_either_key_header_will_do(gateway: GatewayServer) -> None:
    answer = await gateway.ask(json=chat_body(), key=None, headers={"x-api-key": gateway.key})
    assert answer.status == 200


@pytest.mark.parametrize("chunked", [False, True], ids=["declared", "chunked"])
async def test_body_over_the_limit(house: House, tmp_path: Path, chunked: bool) -> None:
    raw = json.dumps(chat_body(padding="x" * 3000)).encode()

    async def parts() -> Any:
        for at in range(0, len(raw), 500):
            yield raw[at : at + 500]

    async with running_gateway(house, tmp_path, max_body_bytes=2000) as gateway:
        await gateway.stop_probing()
        answer = await gateway.ask(data=parts() if chunked else raw)
        await assert_refused(gateway, answer, 413, "body_too_large", "2000 bytes")
        within = await gateway.chat()
        assert within.status == 200


async def test_compressed_body(gateway: GatewayServer) -> None:
    answer = await gateway.ask(data=b"\x1f\x8b", headers={"content-encoding": "gzip"})
    await assert_refused(gateway, answer, 400, "invalid_request", "content-encoding")


async def test_body_that_does_not_arrive(house: House, tmp_path: Path) -> None:
    async def silence() -> Any:
        yield b'{"model": '
        await asyncio.Event().wait()

    async with running_gateway(house, tmp_path, body_timeout_s=0.2) as gateway:
        await gateway.stop_probing()
        answer = await gateway.ask(data=silence())
        await assert_refused(gateway, answer, 408, "request_timeout")


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


async def test_over_the_limit_of_requests_in_flight(house: House, tmp_path: Path) -> None:
    async with running_gateway(house, tmp_path, max_in_flight=1) as gateway:
        await gateway.stop_probing()
        house.small.script({"delay_head_s": 60})
        first = asyncio.create_task(gateway.chat())
        await eventually(lambda: house.small.state()["in_flight"] == 1, "the first request is in flight")
        answer = await gateway.chat()
        first.cancel()
    assert answer.status == 503
    assert answer.error["code"] == "overloaded"
    assert int(answer.headers["retry-after"]) > 0
