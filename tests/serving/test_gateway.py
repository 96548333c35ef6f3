"""The gateway as a server sees it: ASGI messages in, ASGI messages out, in every order they can come."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest
from starlette.types import ASGIApp

from serving.errors import ConfigError
from serving.gateway import Gateway
from serving.governance.rates import Metered
from serving.house import House
from serving.wire.routes import RELAYED
from tests.doubles.upstream import FakeAnswer, chat_answer, chat_stream
from tests.serving.asgi_call import Call, ask, http_scope, running
from tests.serving.world import KEY, World

CHAT = "/v1/chat/completions"
SSE = {"content-type": "text/event-stream"}
DELTA = b'data: {"choices":[{"index":0,"delta":{"content":"4"}}]}\n\n'
GOOD: dict[str, Any] = {"model": "auto", "messages": [{"role": "user", "content": "2+2?"}]}


def world_with(answer: FakeAnswer, **settings: Any) -> World:
    world = World(**settings)
    world.upstreams["small"].next(answer)
    return world


def one_line(world: World) -> Mapping[str, Any]:
    """The one log line there must be, with nothing left in flight."""
    (line,) = world.lines
    assert world.admission.in_flight == 0
    assert all(upstream.in_flight == 0 for upstream in world.upstreams.values())
    return line


async def test_lifespan_opens_and_closes_the_house() -> None:
    world = World()
    async with running(world):
        assert (world.opened, world.closed) == (1, 0)
    assert (world.opened, world.closed) == (1, 1)


async def test_a_house_that_cannot_be_opened_fails_the_start_with_its_reason() -> None:
    @asynccontextmanager
    async def broken() -> AsyncIterator[House]:
        raise ConfigError(["no key file", "no catalogue"])
        yield

    call = Call(Gateway(broken), {"type": "lifespan"})
    call.say(type="lifespan.startup")
    await call.ended()
    assert call.sent == [{"type": "lifespan.startup.failed", "message": "no key file\nno catalogue"}]


@pytest.mark.parametrize("opened", [False, True], ids=["before", "after"])
async def test_no_request_is_answered_outside_the_lifespan(opened: bool) -> None:
    app: ASGIApp = World().gateway()
    if opened:
        world = World()
        async with running(world) as app:
            pass
    with pytest.raises(RuntimeError, match="lifespan"):
        await ask(app, "/health", method="GET")


async def test_a_websocket_is_closed() -> None:
    async with running(World()) as app:
        call = Call(app, {"type": "websocket", "path": CHAT, "headers": []})
        await call.ended()
    assert call.sent == [{"type": "websocket.close", "code": 1000}]


async def test_a_whole_answer_with_its_decision() -> None:
    world = world_with(chat_answer("four"))
    async with running(world) as app:
        call = await ask(app, CHAT, GOOD)
    assert (call.status, call.complete) == (200, True)
    assert call.json()["choices"][0]["message"]["content"] == "four"
    assert call.headers["content-length"] == str(len(call.content))
    named = {name: value for name, value in call.headers.items() if name.startswith("x-millrace-")}
    assert named.pop("x-millrace-decision").startswith("mrd-")
    assert named == {
        "x-millrace-policy": "ladder",
        "x-millrace-model": "small",
        "x-millrace-tier": "small",
        "x-millrace-attempts": "1",
        "x-millrace-cost-usd": "0.000000000",
    }
    line = one_line(world)
    assert (line["status"], line["tenant"], line["model"], line["error"]) == (200, "acme", "small", None)
    assert line["request_id"] == call.headers["x-request-id"]


async def test_a_stream_with_its_cost_at_the_end() -> None:
    world = world_with(chat_stream("one two"))
    async with running(world) as app:
        call = await ask(app, CHAT, GOOD | {"stream": True})
    assert call.headers["content-type"].startswith("text/event-stream")
    assert call.complete
    assert call.content.endswith(b": x-millrace-cost-usd=0.000000000\n\ndata: [DONE]\n\n")
    assert b'"usage"' not in call.content
    assert one_line(world)["output_tokens"] == 2


async def test_the_body_may_come_in_parts() -> None:
    world = world_with(chat_answer("4"))
    raw = json.dumps(GOOD).encode()
    async with running(world) as app:
        call = Call(app, http_scope("POST", CHAT))
        call.body(raw[:5], b"", raw[5:20], raw[20:])
        await call.ended()
    assert call.status == 200


@pytest.mark.parametrize("declared", [True, False], ids=["declared", "undeclared"])
async def test_a_body_over_the_limit(declared: bool) -> None:
    world = World(max_body_bytes=10)
    async with running(world) as app:
        scope = http_scope("POST", CHAT)
        if declared:
            scope["headers"].append((b"content-length", b"11"))
        call = Call(app, scope)
        if not declared:
            call.say(type="http.request", body=b"x" * 11, more_body=True)
        await call.ended()
    assert (call.status, call.json()["error"]["code"]) == (413, "body_too_large")
    assert one_line(world)["error"] == "body_too_large"


async def test_a_body_that_does_not_come() -> None:
    world = World(body_timeout_s=0.01)
    async with running(world) as app:
        call = Call(app, http_scope("POST", CHAT))
        call.say(type="http.request", body=b"{", more_body=True)
        await call.ended()
    assert (call.status, call.json()["error"]["code"]) == (408, "request_timeout")
    assert one_line(world)["tenant"] == "acme"


async def test_a_client_that_leaves_within_its_body() -> None:
    world = World()
    async with running(world) as app:
        call = Call(app, http_scope("POST", CHAT))
        call.say(type="http.request", body=b"{", more_body=True)
        call.hang_up()
        await call.ended()
    assert call.sent == []
    line = one_line(world)
    assert (line["status"], line["error"]) == (499, "client_closed")


async def test_a_client_that_leaves_while_its_answer_is_made() -> None:
    world = world_with(FakeAnswer(hang=True))
    async with running(world) as app:
        call = Call(app, http_scope("POST", CHAT))
        call.body(json.dumps(GOOD).encode())
        await call.until(lambda: world.upstreams["small"].in_flight)
        call.hang_up()
        await call.ended()
    assert call.sent == []
    assert world.upstreams["small"].cancelled == 1
    line = one_line(world)
    assert (line["status"], line["error"], line["attempts"][0]["outcome"]) == (499, "client_closed", "cancelled")


async def test_a_client_that_leaves_within_a_stream() -> None:
    world = world_with(FakeAnswer([DELTA, DELTA], headers=SSE, stall=True))
    async with running(world) as app:
        call = Call(app, http_scope("POST", CHAT))
        call.body(json.dumps(GOOD | {"stream": True}).encode())
        await call.until(lambda: call.sent and call.content.count(DELTA) == 2)
        call.hang_up()
        await call.ended()
    assert not call.complete
    assert world.upstreams["small"].cancelled == 1
    line = one_line(world)
    assert (line["status"], line["error"], line["output_tokens"]) == (499, "client_closed", 2)


@pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
async def test_a_server_that_cancels_the_request(stream: bool) -> None:
    world = world_with(FakeAnswer([DELTA] if stream else [], headers=SSE, stall=stream, hang=not stream))
    async with running(world) as app:
        call = Call(app, http_scope("POST", CHAT))
        call.body(json.dumps(GOOD | {"stream": stream}).encode())
        await call.until(lambda: len(call.sent) > 1 if stream else world.upstreams["small"].in_flight)
        call.task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call.ended()
    assert one_line(world)["status"] == 499


async def test_a_client_that_leaves_after_its_answer_changes_nothing() -> None:
    world = world_with(chat_answer("4"))
    async with running(world) as app:
        call = await ask(app, CHAT, GOOD)
        call.hang_up()
        await asyncio.sleep(0)
    assert one_line(world)["status"] == 200


async def test_a_deadline_is_a_504() -> None:
    world = world_with(FakeAnswer(hang=True), deadline_s=0.02)
    async with running(world) as app:
        call = await ask(app, CHAT, GOOD)
    assert (call.status, call.json()["error"]["code"]) == (504, "upstream_timeout")
    assert one_line(world)["error"] == "upstream_timeout"


async def test_a_full_house_is_a_503_with_a_retry_after() -> None:
    world = World(limit=0)
    async with running(world) as app:
        call = await ask(app, CHAT, GOOD)
    assert (call.status, call.headers["retry-after"]) == (503, "1")
    assert one_line(world)["error"] == "overloaded"


class Unfit:
    """Breaks in a way that nobody foresaw."""

    async def send(self, request: object) -> None:
        raise ZeroDivisionError("secret detail")

    def live(self) -> list[object]:
        return [object()]

    in_flight = 0


async def test_anything_unforeseen_is_a_500_that_gives_nothing_away() -> None:
    world = World()
    world.upstreams["small"] = Unfit()  # type: ignore[assignment]
    async with running(world) as app:
        call = await ask(app, CHAT, GOOD)
    assert (call.status, call.json()["error"]["code"]) == (500, "internal_error")
    assert "ZeroDivisionError" in call.json()["error"]["message"]
    assert b"secret detail" not in call.content
    assert one_line(world)["error"] == "internal_error"


@pytest.mark.parametrize(
    ("given", "kept"),
    [("my-id.1", True), ("a b", False), ("x" * 129, False), ("a\r\nx-evil: 1", False), ("\xe9", False), ("", False)],
    ids=["good", "space", "long", "injection", "not ASCII", "empty"],
)
async def test_request_ids_are_sanitised_on_every_response(given: str, kept: bool) -> None:
    async with running(World()) as app:
        for path, method in ((CHAT, "POST"), ("/health", "GET"), ("/nowhere", "GET")):
            call = await ask(app, path, {}, method=method, headers={"x-request-id": given})
            found = call.headers["x-request-id"]
            assert found == given if kept else found.startswith("req-")


@pytest.mark.parametrize("path", RELAYED)
async def test_relayed_routes_take_post_with_a_key(path: str) -> None:
    world = World()
    async with running(world) as app:
        read = await ask(app, path, method="GET")
        stranger = await ask(app, path, GOOD, headers={"authorization": "Bearer mr-bad"})
    assert (read.status, read.headers["allow"]) == (405, "POST")
    assert (stranger.status, stranger.headers["www-authenticate"]) == (401, "Bearer")
    assert {line["operation"] for line in world.lines} == {RELAYED[path].operation}
    assert {line["tenant"] for line in world.lines} == {"-"}


async def test_the_key_is_asked_for_before_the_body_is_read() -> None:
    async with running(World()) as app:
        call = await Call(app, http_scope("POST", CHAT, {})).ended()
    assert call.status == 401


async def test_head_is_answered_where_get_is() -> None:
    async with running(World()) as app:
        health = await ask(app, "/health", method="HEAD", headers={})
        root = await ask(app, "/", method="HEAD", headers={})
        chat = await ask(app, CHAT, method="HEAD")
    assert (health.status, root.status, chat.status) == (200, 200, 405)
    assert int(health.headers["content-length"]) > 0


ANTHROPIC = {
    "405": ({"method": "GET"}, 405, "invalid_request_error"),
    "401": ({"headers": {}}, 401, "authentication_error"),
    "400": ({"body": b"[]"}, 400, "invalid_request_error"),
    "404": ({"body": GOOD | {"model": "nobody"}}, 404, "not_found_error"),
    "431": ({"headers": {f"x-{place}": "a" for place in range(200)}}, 431, "request_too_large"),
    "504": ({"body": GOOD}, 504, "api_error"),
}


@pytest.mark.parametrize(("asked", "status", "kind"), ANTHROPIC.values(), ids=ANTHROPIC)
async def test_errors_on_messages_have_anthropics_shape_and_request_id(
    asked: dict[str, Any], status: int, kind: str
) -> None:
    async with running(world_with(FakeAnswer(hang=True), deadline_s=0.02)) as app:
        call = await ask(app, "/v1/messages", **asked)
    assert call.status == status
    assert call.json()["type"] == "error"
    assert call.json()["error"]["type"] == kind
    assert call.headers["request-id"] == call.headers["x-request-id"]


async def test_headers_of_the_anthropic_protocol_go_on_and_others_stay() -> None:
    world = world_with(FakeAnswer([b'{"content":[]}']))
    headers = {"x-api-key": "mr-good", "anthropic-version": "2023-06-01", "cookie": "secret", "x-request-id": "r1"}
    async with running(world) as app:
        call = await ask(app, "/v1/messages", GOOD, headers=headers)
    (sent,) = world.upstreams["small"].requests
    assert call.status == 200
    assert sent.headers == {"anthropic-version": "2023-06-01"}
    assert sent.request_id == call.headers["x-millrace-decision"] + "-1"


async def test_a_failed_stream_before_its_first_token_is_a_real_status() -> None:
    world = World()
    error = FakeAnswer([b'data: {"error":{"message":"no"}}\n\n'], headers=SSE)
    for upstream in world.upstreams.values():
        upstream.next(error)
    async with running(world) as app:
        call = await ask(app, CHAT, GOOD | {"stream": True})
    assert (call.status, call.json()["error"]["code"]) == (502, "upstream_invalid_response")
    assert call.headers["x-millrace-attempts"] == "3"


async def exchange_many(app: ASGIApp, count: int) -> list[Call]:
    return list(await asyncio.gather(*(ask(app, CHAT, GOOD) for _ in range(count))))


async def test_many_at_once_are_all_answered_and_counted() -> None:
    world = world_with(chat_answer("4"), limit=50)
    async with running(world) as app:
        calls = await exchange_many(app, 50)
    assert {call.status for call in calls} == {200}
    assert len({call.headers["x-request-id"] for call in calls}) == 50
    assert len({line["decision"] for line in world.lines}) == 50
    assert world.admission.in_flight == 0


async def test_when_the_house_is_full_some_are_refused_and_none_is_lost() -> None:
    world = world_with(chat_answer("4"), limit=3)
    async with running(world) as app:
        calls = await exchange_many(app, 20)
    statuses = [call.status for call in calls]
    assert set(statuses) == {200, 503}
    assert statuses.count(200) >= 3
    assert world.admission.in_flight == 0


async def test_the_clients_own_retries_and_deadline_are_noticed() -> None:
    world = world_with(FakeAnswer(hang=True))
    key = {"authorization": f"Bearer {KEY}"}
    async with running(world) as app:
        late = await ask(app, CHAT, GOOD, headers={**key, "x-millrace-timeout-s": "0.02"})
        again = await ask(app, CHAT, b"[]", headers={**key, "x-stainless-retry-count": "2"})
    assert (late.status, late.json()["error"]["code"]) == (504, "upstream_timeout")
    assert again.status == 400
    assert [line["client_retry"] for line in world.lines] == [None, 2]


async def test_what_was_used_is_settled_with_the_rates() -> None:
    world = world_with(FakeAnswer([b'{"choices":[],"usage":{"prompt_tokens":200000,"completion_tokens":100000}}']))
    world.rates = Metered(requests=None, tokens=600_000, otherwise=world.rates)
    async with running(world) as app:
        calls = [await ask(app, CHAT, GOOD) for _ in range(2)]
        refused = await ask(app, CHAT, b"[]")
    first, second, third = (int(call.headers["x-ratelimit-remaining-tokens"]) for call in (*calls, refused))
    assert first == 600_000
    assert first > second > third


async def test_a_tenant_over_its_rate_is_refused_before_its_body_is_read() -> None:
    world = World()
    world.rates = Metered(requests=1, tokens=None, otherwise=world.rates)
    async with running(world) as app:
        await ask(app, CHAT, b"[]")
        call = await Call(app, http_scope("POST", CHAT)).ended()
    assert (call.status, call.json()["error"]["code"]) == (429, "rate_limit_exceeded")
    assert 1 <= int(call.headers["retry-after"]) <= 60
    assert call.headers["x-ratelimit-remaining-requests"] == "0"


async def test_a_full_house_reads_no_body() -> None:
    world = World(limit=1)
    async with running(world) as app:
        slow = Call(app, http_scope("POST", CHAT))
        slow.say(type="http.request", body=b"{", more_body=True)
        await slow.until(lambda: slow.heard)
        call = await Call(app, http_scope("POST", CHAT)).ended()
        slow.hang_up()
        await slow.ended()
    assert (call.status, call.json()["error"]["code"]) == (503, "overloaded")
