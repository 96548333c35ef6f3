"""An upstream that says 200 and then, before any token, that the request is wrong: the client gets the 4xx it is."""

import json

import pytest

from tests.doubles.upstream import FakeAnswer
from tests.serving.asgi_call import ask, running
from tests.serving.world import World

SSE = {"content-type": "text/event-stream"}
REFUSAL = {"error": {"message": "the schema cannot be compiled", "type": "BadRequestError", "param": None, "code": 400}}
ROUTES = {
    "/v1/chat/completions": {"messages": [{"role": "user", "content": "2+2?"}]},
    "/v1/completions": {"prompt": ["2+2?", "3+3?"]},
    "/v1/responses": {"input": "2+2?", "store": False},
}


def frames(event: object) -> list[bytes]:
    return [b"data: " + json.dumps(event).encode() + b"\n\n", b"data: [DONE]\n\n"]


@pytest.mark.parametrize("model", ["small", "cloud", "auto"])
@pytest.mark.parametrize("path", ROUTES)
async def test_the_clients_mistake_is_the_clients(path: str, model: str) -> None:
    world = World()
    for upstream in world.upstreams.values():
        upstream.next(FakeAnswer(frames(REFUSAL), headers=SSE))
    async with running(world) as app:
        call = await ask(app, path, {"model": model, "stream": True} | ROUTES[path])
    assert call.status == 400
    assert call.json()["error"]["message"] == "the schema cannot be compiled"
    assert set(call.json()["error"]) == {"message", "type", "param", "code"}
    assert call.headers["x-should-retry"] == "false"
    assert sum(len(upstream.requests) for upstream in world.upstreams.values()) == 1
    assert all(upstream.in_flight == 0 for upstream in world.upstreams.values())


@pytest.mark.parametrize(("code", "status"), [(401, 502), (404, 502), (429, 503), (500, 503)])
async def test_what_concerns_the_gateway_stays_a_failure(code: int, status: int) -> None:
    world = World()
    event = {"error": {"message": "no", "type": "x", "param": None, "code": code}}
    world.upstreams["small"].next(FakeAnswer(frames(event), headers=SSE))
    async with running(world) as app:
        call = await ask(app, "/v1/completions", {"model": "small", "stream": True, "prompt": "x"})
    assert call.status == status
