"""A gateway that is told to stop: not ready any more, still answering, and at the cut every client learns why."""

import json
from dataclasses import replace
from typing import Any

import pytest

from serving.gateway import Gateway
from tests.doubles.upstream import FakeAnswer, chat_stream
from tests.serving.asgi_call import Call, ask, http_scope, running
from tests.serving.world import World

CHAT = "/v1/chat/completions"
GOOD: dict[str, Any] = {"model": "auto", "messages": [{"role": "user", "content": "2+2?"}]}


def stalled() -> FakeAnswer:
    """A stream that stops after its first words."""
    whole = chat_stream("one two three")
    return replace(whole, chunks=whole.chunks[:3], stall=True)


def world_with(answer: FakeAnswer) -> World:
    world = World()
    world.upstreams["small"].next(answer)
    return world


def asked(app: Gateway, **fields: Any) -> Call:
    """A request that is under way."""
    call = Call(app, http_scope("POST", CHAT))
    call.body(json.dumps(GOOD | fields).encode())
    return call


async def test_it_is_not_ready_while_it_drains() -> None:
    world = World()
    async with running(world) as app:
        assert isinstance(app, Gateway)
        app.drain()
        draining = await ask(app, "/ready", method="GET")
        answer = await ask(app, CHAT, GOOD)
        app.resume()
        after = await ask(app, "/ready", method="GET")
    assert (draining.status, draining.json()["error"]["code"]) == (503, "shutting_down")
    assert answer.status == 200
    assert "error" not in after.json()


async def test_a_stream_is_told_that_it_is_cut() -> None:
    world = world_with(stalled())
    async with running(world) as app:
        assert isinstance(app, Gateway)
        call = asked(app, stream=True)
        await call.until(lambda: b"one" in call.content)
        app.cut()
        await call.ended()
    assert call.complete
    frames = call.content.decode().strip().split("\n\n")
    assert json.loads(frames[-1].removeprefix("data: "))["error"]["code"] == "shutting_down"
    assert [line["error"] for line in world.lines] == ["shutting_down"]
    assert world.admission.in_flight == 0


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "unary"])
async def test_before_the_first_byte_it_is_a_status(stream: bool) -> None:
    world = world_with(FakeAnswer(hang=True))
    async with running(world) as app:
        assert isinstance(app, Gateway)
        call = asked(app, stream=stream)
        await call.until(lambda: world.upstreams["small"].in_flight)
        app.cut()
        await call.ended()
    assert (call.status, call.json()["error"]["code"]) == (503, "shutting_down")
    assert call.headers["retry-after"] == "1"


async def test_within_the_body_too() -> None:
    world = World()
    async with running(world) as app:
        assert isinstance(app, Gateway)
        call = Call(app, http_scope("POST", CHAT))
        call.say(type="http.request", body=b"{", more_body=True)
        await call.until(lambda: call._inbox.empty())
        app.cut()
        await call.ended()
    assert (call.status, call.json()["error"]["code"]) == (503, "shutting_down")
