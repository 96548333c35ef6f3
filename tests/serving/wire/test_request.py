"""Bodies: what is refused and how it is said, what is found in them, what goes on to an upstream."""

import json
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.errors import BadRequest
from serving.wire.request import DROPPED, Request, needs_of, parse_request, scored_text, upstream_body
from serving.wire.routes import RELAYED

CHAT = RELAYED["/v1/chat/completions"]
COMPLETIONS = RELAYED["/v1/completions"]
MESSAGES = [{"role": "user", "content": "2+2?"}]
FUNCTION = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
SCHEMA = {"name": "answer", "schema": {"type": "object"}}

scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4), max_leaves=12
)
part = st.fixed_dictionaries({}, optional={"type": st.sampled_from(["text", "image_url", 3]) | values, "text": values})
turn = st.fixed_dictionaries(
    {"role": st.sampled_from(["user", "assistant"]) | st.text()}, optional={"content": values | st.lists(part | values)}
)
prompts = st.lists(turn, min_size=1, max_size=3)
bodies = st.fixed_dictionaries(
    {"model": st.just("auto") | st.text()},
    optional={
        "messages": prompts | values,
        "prompt": prompts | values,
        "input": prompts | values,
        "query": values,
        "documents": values,
        "tools": values,
        "logprobs": values,
        "response_format": st.fixed_dictionaries({"type": values}) | values,
        "stream": st.booleans() | st.none(),
        "stream_options": st.dictionaries(st.just("include_usage"), values) | st.none(),
        "cache_salt": values,
        "unknown": values,
    },
)


def parse(body: Any, route: str = "/v1/chat/completions") -> Request:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return parse_request(RELAYED[route], raw, request_id="r", headers={})


def chat(**fields: Any) -> dict[str, Any]:
    return {"model": "auto", "messages": MESSAGES, **fields}


def sent(body: Any, route: str = "/v1/chat/completions", salt: str | None = None) -> dict[str, Any]:
    decoded: dict[str, Any] = msgspec.json.decode(upstream_body(parse(body, route), model="m", cache_salt=salt))
    return decoded


@pytest.mark.parametrize(
    ("body", "param", "says"),
    [
        (b"", None, "not valid JSON"),
        (b'{"model":', None, "not valid JSON"),
        (b'{"model": "\xff"}', None, "UTF-8"),
        (b'{"model": NaN}', None, "not valid JSON"),
        (b'{"model": "auto", "n": 1e400}', None, "not valid JSON"),
        (b"[" * 5000, None, "nested too deeply"),
        (b'{"model": "a", "model": "b"}', "model", "appears twice"),
        ([], None, "must be a JSON object, not an empty list"),
        ([1], None, "must be a JSON object, not a list"),
        (7, None, "must be a JSON object, not a number"),
        (None, None, "must be a JSON object, not null"),
        ({}, "model", 'use "auto"'),
        ({"model": ""}, "model", "non-empty string"),
        ({"model": 3}, "model", "non-empty string"),
        ({"model": "m" * 257}, "model", "longer than 256"),
        (chat(stream="yes"), "stream", "must be true or false, not a string"),
        (chat(stream=0), "stream", "must be true or false, not a number"),
        ({"model": "auto"}, "messages", "missing; /v1/chat/completions needs it"),
        (chat(messages=[]), "messages", "non-empty list of objects"),
        (chat(messages="hi"), "messages", "not a string"),
        (chat(messages=["hi"]), "messages[0]", "an object with role and content, not a string"),
        (chat(messages=[*MESSAGES, {"content": "x"}]), "messages[1].role", "must be a string"),
        (chat(stream_options=[]), "stream_options", "must be an object"),
        (chat(routing="cheap"), "routing", "must be an object, not a string"),
        (chat(routing={"host": "any"}), "routing.host", "did you mean 'hosted'?"),
        (chat(routing={"zzz": 1}), "routing.zzz", "known keys: allow, deny, hosted, quality_floor"),
        (chat(routing={"hosted": "maybe"}), "routing.hosted", "never, fallback, any"),
        (chat(routing={"hosted": []}), "routing.hosted", "never, fallback, any"),
        (chat(routing={"quality_floor": 2}), "routing.quality_floor", "from 0 to 1"),
        (chat(routing={"quality_floor": True}), "routing.quality_floor", "from 0 to 1"),
        (chat(routing={"allow": "small"}), "routing.allow", "must be a list"),
        (chat(routing={"deny": [1]}), "routing.deny", "must be a list"),
    ],
)
def test_a_refused_body_names_the_field_and_the_fix(body: Any, param: str | None, says: str) -> None:
    with pytest.raises(BadRequest) as caught:
        parse(body)
    assert caught.value.param == param
    assert says in caught.value.message
    assert param is None or caught.value.message.startswith(f"{param}: ")


@pytest.mark.parametrize(
    ("route", "body", "param", "says"),
    [
        ("/v1/embeddings", {"model": "e", "input": "x", "stream": True}, "stream", "does not stream"),
        ("/v1/embeddings", {"model": "e", "input": ""}, "input", "not an empty string"),
        ("/v1/completions", {"model": "e", "prompt": {"a": 1}}, "prompt", "not an object"),
        ("/v1/rerank", {"model": "e"}, "query", "missing"),
        ("/tokenize", {"model": "e"}, "prompt", "missing"),
    ],
    ids=["stream", "empty", "type", "rerank", "tokenize"],
)
def test_each_route_checks_its_own_prompt(route: str, body: Any, param: str, says: str) -> None:
    with pytest.raises(BadRequest, match=says) as caught:
        parse(body, route)
    assert caught.value.param == param


def test_a_very_long_routing_key_is_refused_without_being_repeated() -> None:
    with pytest.raises(BadRequest) as caught:
        parse(chat(routing={"k" * 1_000_000: 1}))
    assert len(caught.value.message) < 1000


@given(
    route=st.sampled_from(sorted(RELAYED)),
    raw=st.binary(max_size=60) | values.map(lambda value: json.dumps(value).encode()),
)
def test_no_body_raises_anything_but_a_bad_request(route: str, raw: bytes) -> None:
    with suppress(BadRequest):
        assert parse(raw, route).model


@settings(max_examples=150)
@given(route=st.sampled_from(sorted(RELAYED)), body=bodies)
def test_whatever_was_accepted_can_be_planned_scored_and_sent(route: str, body: Any) -> None:
    try:
        request = parse(body, route)
    except BadRequest:
        return
    assert request.route.operation in needs_of(request)
    assert isinstance(scored_text(request), str)
    forwarded = msgspec.json.decode(upstream_body(request, model="m", cache_salt="s"))
    assert forwarded["model"] == "m"
    assert forwarded["cache_salt"] == "s"
    untouched = set(body) - DROPPED - {"model", "stream_options"}
    assert {key: forwarded[key] for key in untouched} == {key: request.body[key] for key in untouched}


def test_options_of_a_good_body() -> None:
    options = {"hosted": "never", "allow": ["small"], "deny": ["x"], "quality_floor": 0}
    request = parse(chat(stream=True, stream_options={"include_usage": True}, routing=options))
    assert (request.model, request.stream, request.wants_usage) == ("auto", True, True)
    assert request.routing.hosted == "never"
    assert (set(request.routing.allow), set(request.routing.deny)) == ({"small"}, {"x"})
    assert request.routing.quality_floor == 0
    assert parse(chat(stream=None)).stream is False


@pytest.mark.parametrize(
    ("fields", "needs"),
    [
        ({}, {"chat"}),
        ({"tools": [FUNCTION]}, {"chat", "tools"}),
        ({"tools": [FUNCTION], "tool_choice": "auto"}, {"chat", "tools"}),
        ({"tools": [FUNCTION], "tool_choice": "none"}, {"chat"}),
        ({"tools": [{"type": "web_search"}]}, {"chat"}),
        ({"tools": [], "logprobs": False}, {"chat"}),
        ({"logprobs": True}, {"chat", "logprobs"}),
        ({"response_format": {"type": "json_schema", "json_schema": SCHEMA}}, {"chat", "json"}),
        ({"response_format": {"type": "json_object"}}, {"chat", "json"}),
        ({"response_format": {"type": "text"}}, {"chat"}),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, {"chat", "vision"}),
        ({"prompt": [{"content": [{"type": "image"}]}]}, {"chat"}),
    ],
    ids=[
        "plain",
        "tools",
        "tools to choose from",
        "tools not to be called",
        "a tool of the server's",
        "off",
        "logprobs",
        "schema",
        "json",
        "text",
        "image",
        "image in a field of another route",
    ],
)
def test_needs(fields: dict[str, Any], needs: set[str]) -> None:
    assert needs_of(parse(chat(**fields))) == needs


@pytest.mark.parametrize(
    ("route", "fields", "needs"),
    [
        ("/v1/responses", {"input": [{"role": "user", "content": [{"type": "input_image"}]}]}, {"vision"}),
        (
            "/v1/responses",
            {"input": [{"type": "function_call_output", "output": [{"type": "input_image"}]}]},
            {"vision"},
        ),
        ("/v1/responses", {"text": {"format": {"type": "json_schema", **SCHEMA}}}, {"json"}),
        ("/v1/responses", {"text": {"format": {"type": "text"}}}, set()),
        ("/v1/responses", {"tools": [{"type": "namespace", "name": "n"}, {"type": "web_search"}]}, set()),
        ("/v1/responses", {"tools": [{"type": "web_search"}, {"type": "function", "name": "f"}]}, {"tools"}),
        ("/v1/responses", {"include": ["message.output_text.logprobs"]}, {"logprobs"}),
        ("/v1/responses", {"include": ["reasoning.encrypted_content"]}, set()),
        ("/v1/completions", {"logprobs": 0}, {"logprobs"}),
        ("/v1/messages", {"tools": [{"name": "f", "input_schema": {}}]}, {"tools"}),
        ("/v1/messages", {"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, set()),
        ("/v1/messages", {"tools": [{"name": "f", "input_schema": {}}], "tool_choice": {"type": "none"}}, set()),
        ("/v1/messages/count_tokens", {"tools": [{"name": "f", "input_schema": {}}]}, {"tools"}),
    ],
)
def test_needs_of_other_routes(route: str, fields: dict[str, Any], needs: set[str]) -> None:
    body = {"model": "m", "input": "i", "prompt": "p", "messages": MESSAGES, **fields}
    assert needs_of(parse(body, route)) == needs | {RELAYED[route].operation}


@pytest.mark.parametrize("kind", ["image_embeds", "audio_embeds"])
def test_tensors_are_no_part_of_a_message(kind: str) -> None:
    with pytest.raises(BadRequest, match=f"parts of type {kind} are not taken") as caught:
        parse(chat(messages=[{"role": "user", "content": [{"type": kind, kind: "AAAA"}]}]))
    assert caught.value.param == "messages"


def test_the_clients_own_deadline_is_kept() -> None:
    raw = json.dumps(chat()).encode()
    assert parse_request(CHAT, raw, request_id="r", headers={}, timeout_s=2.5).timeout_s == 2.5
    assert parse_request(CHAT, raw, request_id="r", headers={}).timeout_s is None


@pytest.mark.parametrize(
    ("route", "body", "text"),
    [
        ("/v1/chat/completions", {"messages": [*MESSAGES, {"role": "assistant", "content": "4"}]}, "2+2?"),
        ("/v1/chat/completions", {"messages": [{"role": "system", "content": "be terse"}]}, ""),
        (
            "/v1/chat/completions",
            {
                "messages": [
                    {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "image"}, {"text": 3}]}
                ]
            },
            "a",
        ),
        ("/v1/completions", {"prompt": "once"}, "once"),
        ("/v1/completions", {"prompt": ["a", "b"]}, "a\nb"),
        ("/v1/completions", {"prompt": [1, 2]}, ""),
        (
            "/v1/responses",
            {"input": [{"role": "user", "content": "first"}, {"role": "user", "content": "last"}]},
            "last",
        ),
        ("/v1/rerank", {"query": "q", "documents": ["d"]}, "q"),
        ("/v1/score", {"text_1": "a"}, ""),
    ],
)
def test_scored_text(route: str, body: dict[str, Any], text: str) -> None:
    assert scored_text(parse({"model": "auto", **body}, route)) == text


def test_fields_that_could_harm_an_engine_or_choose_a_provider_are_dropped() -> None:
    body = sent(chat(temperature=0, **dict.fromkeys(DROPPED - {"routing"}, "evil"), routing={"hosted": "never"}))
    assert body == {"model": "m", "messages": MESSAGES, "temperature": 0}


@given(st.dictionaries(st.sampled_from(sorted(DROPPED - {"routing"})), values), st.sampled_from(sorted(RELAYED)))
def test_nothing_withheld_reaches_an_upstream_and_what_is_nested_does(withheld: dict[str, Any], route: str) -> None:
    """At the top level such a field could choose a provider; within `metadata` it is the client's own word."""
    body = {"model": "m", "prompt": "p", "input": "i", "messages": MESSAGES, "query": "q", "documents": ["d"]}
    forwarded = sent({**body, **withheld, "metadata": withheld, "unknown": [withheld]}, route)
    assert not set(forwarded) & DROPPED
    assert forwarded["metadata"] == withheld
    assert forwarded["unknown"] == [withheld]


@pytest.mark.parametrize(
    "tool",
    [
        {"type": "mcp", "server_label": "x", "server_url": "https://mcp.example.com", "headers": {"a": "b"}},
        {"type": "namespace", "name": "n", "tools": [{"type": "function", "name": "f", "parameters": {}}]},
        {"type": "web_search", "external_web_access": True},
    ],
    ids=["mcp", "namespace", "web search"],
)
def test_tools_of_unknown_types_pass_as_they_are(tool: dict[str, Any]) -> None:
    body = {"model": "a", "input": "p", "tools": [tool], "client_metadata": {"x": 1}, "store": False}
    assert sent(body, "/v1/responses") == {**body, "model": "m"}


def test_the_clients_cache_salt_is_overwritten() -> None:
    assert sent(chat(cache_salt="theirs"), salt="ours")["cache_salt"] == "ours"


@pytest.mark.parametrize(
    ("route", "body", "options"),
    [
        ("/v1/chat/completions", chat(stream=True), {"include_usage": True}),
        ("/v1/chat/completions", chat(stream=True, stream_options=None), {"include_usage": True}),
        (
            "/v1/chat/completions",
            chat(stream=True, stream_options={"include_usage": False, "x": 1}),
            {"include_usage": True, "x": 1},
        ),
        ("/v1/completions", {"model": "a", "prompt": "p", "stream": True}, {"include_usage": True}),
        ("/v1/chat/completions", chat(), None),
        ("/v1/responses", {"model": "a", "input": "p", "stream": True}, None),
        ("/v1/messages", chat(stream=True), None),
    ],
    ids=["chat", "null", "overridden", "completions", "unary", "responses", "messages"],
)
def test_usage_is_asked_for_only_where_it_must_be(route: str, body: Any, options: Any) -> None:
    assert sent(body, route).get("stream_options") == options


def test_a_body_that_can_be_read_but_not_written_is_a_bad_request() -> None:
    nested: Any = 1
    for _ in range(5000):
        nested = [nested]
    request = Request("r", CHAT, "auto", False, False, {"model": "auto", "deep": nested})
    with pytest.raises(BadRequest, match="nested too deeply"):
        upstream_body(request, model="m", cache_salt=None)
