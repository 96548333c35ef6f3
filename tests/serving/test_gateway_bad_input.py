"""Whatever is wrong with a request, the client is told which field and how to mend it, and no model is asked."""

import asyncio
import gzip
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


async def test_a_declared_body_is_refused_before_it_is_read(gateway: GatewayServer) -> None:
    async def nothing() -> Any:
        yield b"{"
        await asyncio.Event().wait()

    answer = await gateway.ask(data=nothing(), headers={"content-length": "200000000"})
    await assert_refused(gateway, answer, 413, "body_too_large", "4194304 bytes")


async def test_compressed_body(gateway: GatewayServer) -> None:
    body = gzip.compress(json.dumps(chat_body()).encode())
    answer = await gateway.ask(data=body, headers={"content-encoding": "gzip"})
    assert answer.status == 200
    assert gateway.house.small.state()["last"]["body"]["messages"] == ASKED


@pytest.mark.parametrize(
    ("raw", "encoding", "status", "code", "says"),
    [
        (gzip.compress(bytes(3 * 1024 * 1024)), "gzip", 413, "body_too_large", "max_gzip_ratio"),
        (gzip.compress(bytes(64 * 1024 * 1024)), "gzip", 413, "body_too_large", "4194304 bytes"),
        (b"\x1f\x8b", "gzip", 400, "invalid_request", "cut short"),
        (b'{"model": "auto"}', "gzip", 400, "invalid_request", "not valid gzip"),
        (b"{}", "br", 415, "unsupported_content_encoding", "only gzip"),
        (b"{}", "deflate", 415, "unsupported_content_encoding", "only gzip"),
    ],
    ids=["bomb", "large bomb", "cut", "no gzip", "brotli", "deflate"],
)
async def test_compressed_body_that_is_not_taken(
    gateway: GatewayServer, raw: bytes, encoding: str, status: int, code: str, says: str
) -> None:
    answer = await gateway.ask(data=raw, headers={"content-encoding": encoding})
    await assert_refused(gateway, answer, status, code, says)


@pytest.mark.parametrize("path", [CHAT, "/v1/models", "/health"])
@pytest.mark.parametrize("many", [True, False], ids=["many", "large"])
async def test_headers_over_the_limit(gateway: GatewayServer, path: str, many: bool) -> None:
    headers = {f"x-{place}": "a" for place in range(110)} if many else {"x-large": "a" * 17_000}
    answer = await gateway.ask(path, method="POST" if path == CHAT else "GET", headers=headers, key=None)
    await assert_refused(gateway, answer, 431, "headers_too_large", "over the limit")
    assert answer.headers["x-should-retry"] == "false"


async def test_deadline_of_the_clients_own(gateway: GatewayServer) -> None:
    wrong = await gateway.ask(json=chat_body(), headers={"x-millrace-timeout-s": "soon"})
    await assert_refused(gateway, wrong, 400, "invalid_request", "x-millrace-timeout-s: must be seconds")
    assert (await gateway.ask(json=chat_body(), headers={"x-millrace-timeout-s": "20"})).status == 200


async def test_what_clients_put_beside_the_path_and_the_body_is_ignored(gateway: GatewayServer) -> None:
    answer = await gateway.ask(f"{CHAT}?beta=true", json=chat_body(), headers={"idempotency-key": "k-1"})
    assert answer.status == 200
    counted = await gateway.ask("/v1/messages/count_tokens?beta=true", json={"messages": ASKED})
    assert (counted.status, counted.error["type"]) == (400, "invalid_request_error")


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


async def test_over_the_limit_no_body_is_read(house: House, tmp_path: Path) -> None:
    """An overloaded gateway must not fill its memory with bodies it will not answer."""

    async def nothing() -> Any:
        yield b"{"
        await asyncio.Event().wait()

    async with running_gateway(house, tmp_path, max_in_flight=1) as gateway:
        await gateway.stop_probing()
        house.small.script({"delay_head_s": 60})
        first = asyncio.create_task(gateway.chat())
        await eventually(lambda: house.small.state()["in_flight"] == 1, "the first request is in flight")
        answer = await gateway.ask(data=nothing())
        first.cancel()
    assert (answer.status, answer.error["code"]) == (503, "overloaded")
    assert answer.headers["x-ratelimit-remaining-requests"] == "0"


async def test_every_authenticated_answer_shows_the_rate_limits(gateway: GatewayServer) -> None:
    names = [f"x-ratelimit-{word}-requests" for word in ("limit", "remaining", "reset")]
    for answer in (
        await gateway.chat(),
        await gateway.chat(model="nothing"),
        await gateway.chat(temperature="hot"),
        await gateway.get("/v1/models"),
        await gateway.get("/v1/responses/resp_none"),
        await gateway.ask("/v1/messages", json={}),
    ):
        assert [answer.headers[name] for name in names] == ["1024", "1024", "0s"]
    stranger = await gateway.ask(json=chat_body(), key=None)
    assert not set(names) & set(stranger.headers)


async def test_over_the_limit_of_requests_a_minute(house: House, tmp_path: Path) -> None:
    async with running_gateway(house, tmp_path, requests_per_minute=2, tokens_per_minute=100_000) as gateway:
        await gateway.stop_probing()
        first, _ = await gateway.chat(), await gateway.chat()
        answer = await gateway.chat()
    assert (first.headers["x-ratelimit-limit-requests"], first.headers["x-ratelimit-remaining-requests"]) == ("2", "1")
    assert first.headers["x-ratelimit-limit-tokens"] == "100000"
    assert (answer.status, answer.error["code"], answer.error["type"]) == (
        429,
        "rate_limit_exceeded",
        "rate_limit_error",
    )
    assert 1 <= int(answer.headers["retry-after"]) <= 30
    assert answer.headers["x-ratelimit-remaining-requests"] == "0"
    assert "x-should-retry" not in answer.headers


async def test_over_the_limit_of_tokens_a_minute(house: House, tmp_path: Path) -> None:
    async with running_gateway(house, tmp_path, tokens_per_minute=20) as gateway:
        await gateway.stop_probing()
        house.small.script(default={"answer": "word " * 200})
        first = await gateway.chat()
        answer = await gateway.chat()
    assert first.status == 200
    assert (answer.status, answer.error["code"]) == (429, "rate_limit_exceeded")
    assert "tokens a minute" in answer.error["message"]
