"""What a model gets to see of the media in a request, and what the client hears: through the whole gateway."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from serving.media.fetch import Fetcher
from serving.media.inline import Media
from serving.media.location import HostList
from tests.serving.asgi_call import Call, ask, running
from tests.serving.media.https_host import answer, https_host
from tests.serving.media.pictures import data_url, png
from tests.serving.world import MEDIA_LIMITS, World

INSIDE = "http://169.254.169.254/latest/meta-data/iam/security-credentials/"
PATHS = {"small": "an engine", "cloud": "a hosted API"}


def seeing_world() -> World:
    """A world whose models take images."""
    world = World()
    world.specs = {
        name: replace(spec, capabilities=spec.capabilities | {"vision"}) for name, spec in world.specs.items()
    }
    return world


def body(image_url: Any, model: str = "small") -> dict[str, Any]:
    parts = [{"type": "text", "text": "What is this?"}, {"type": "image_url", "image_url": {"url": image_url}}]
    return {"model": model, "messages": [{"role": "user", "content": parts}]}


def sent(world: World, model: str) -> Mapping[str, Any]:
    (request,) = world.upstreams[model].requests
    found: Mapping[str, Any] = json.loads(request.body)
    return found


def assert_refused(world: World, call: Call, code: str, param: str) -> None:
    assert call.status == 400
    error = call.json()["error"]
    assert (error["code"], error["param"], error["type"]) == (code, param, "invalid_request_error")
    assert not any(upstream.requests for upstream in world.upstreams.values())


@pytest.mark.parametrize("model", PATHS, ids=PATHS.values())
async def test_data_url_passes_untouched(model: str) -> None:
    world = seeing_world()
    asked = body(data_url(png()), model)
    async with running(world) as app:
        call = await ask(app, "/v1/chat/completions", asked)
    assert call.status == 200
    assert sent(world, model)["messages"] == asked["messages"]


@pytest.mark.parametrize("model", PATHS, ids=PATHS.values())
async def test_url_of_a_listed_host_reaches_the_model_as_data(model: str, tmp_path: Path) -> None:
    async def here(name: str, port: int) -> list[str]:
        return ["127.0.0.1"]

    world = seeing_world()
    async with https_host(tmp_path) as host, running(world) as app:
        fetcher = Fetcher(resolver=here, is_allowed=lambda address: True, tls=host.trusting)
        host.script = answer(png())
        world.media = Media(MEDIA_LIMITS, HostList.of([host.name]), lambda: fetcher, ports=frozenset({host.port}))
        async with running(world) as app:
            call = await ask(app, "/v1/chat/completions", body(host.url(), model))
    assert call.status == 200
    assert sent(world, model)["messages"] == body(data_url(png()))["messages"]


@pytest.mark.parametrize("url", [INSIDE, "file:///etc/passwd", "https://cdn.example.com/x.png", "data:text/html,x"])
@pytest.mark.parametrize("model", ["auto", *PATHS])
async def test_other_urls_reach_no_model(model: str, url: str) -> None:
    world = seeing_world()
    async with running(world) as app:
        call = await ask(app, "/v1/chat/completions", body(url, model))
    assert_refused(world, call, "media_url_refused", "messages[0].content[1].image_url.url")
    assert call.headers["x-should-retry"] == "false"


SMUGGLED: dict[str, tuple[str, dict[str, Any], str]] = {
    "responses": (
        "/v1/responses",
        {"input": [{"type": "function_call_output", "output": [{"type": "input_image", "image_url": INSIDE}]}]},
        "input[0].output[0].image_url",
    ),
    "embeddings": (
        "/v1/embeddings",
        {"input": "x", "messages": [{"role": "user", "content": [{"image_url": INSIDE}]}]},
        "messages[0].content[0].image_url",
    ),
    "tokenize": (
        "/tokenize",
        {"messages": [{"role": "user", "content": [{"video_url": {"url": INSIDE}}]}]},
        "messages[0].content[0].video_url.url",
    ),
    "completions": ("/v1/completions", {"prompt": "x", "y": {"audio_url": INSIDE}}, "y.audio_url"),
}


@pytest.mark.parametrize(("path", "fields", "param"), SMUGGLED.values(), ids=SMUGGLED.keys())
async def test_smuggled_on_other_routes(path: str, fields: dict[str, Any], param: str) -> None:
    world = seeing_world()
    async with running(world) as app:
        call = await ask(app, path, {"model": "small"} | fields)
    assert_refused(world, call, "media_url_refused", param)


async def test_escaped_field_name() -> None:
    world = seeing_world()
    raw = json.dumps(body(INSIDE)).replace("image_url", "image\\u005furl").encode()
    async with running(world) as app:
        call = await ask(app, "/v1/chat/completions", raw)
    assert_refused(world, call, "media_url_refused", "messages[0].content[1].image_url.url")


async def test_messages_route_in_anthropics_shape() -> None:
    world = seeing_world()
    part = {"type": "image", "source": {"type": "url", "url": INSIDE}}
    async with running(world) as app:
        call = await ask(
            app, "/v1/messages", {"model": "small", "max_tokens": 5, "messages": [{"role": "user", "content": [part]}]}
        )
    assert call.status == 400
    assert call.json()["type"] == "error"
    assert call.json()["error"]["type"] == "invalid_request_error"
    assert "messages[0].content[0].source.url" in call.json()["error"]["message"]


REDIRECTING = {
    "api_base": INSIDE,
    "base_url": INSIDE,
    "api_key": "sk-stolen",
    "host": "169.254.169.254",
    "headers": {"authorization": "Bearer stolen", "host": "x"},
    "extra_headers": {"x-api-key": "stolen"},
    "callback": INSIDE,
    "webhook_url": INSIDE,
    "plugins": [{"url": INSIDE}],
    "user_config": {"model_list": [{"litellm_params": {"api_base": INSIDE}}]},
}


@pytest.mark.parametrize("nested", [False, True], ids=["in the body", "in extra_body"])
@pytest.mark.parametrize("model", PATHS, ids=PATHS.values())
async def test_no_field_leads_a_request_elsewhere(model: str, nested: bool) -> None:
    """Dropped or passed on: where a request goes, and with which headers, they do not say."""
    world = seeing_world()
    fields = {"extra_body": REDIRECTING} if nested else REDIRECTING
    async with running(world) as app:
        call = await ask(app, "/v1/chat/completions", body(data_url(png()), model) | fields)
    assert call.status == 200
    (request,) = world.upstreams[model].requests
    assert request.path == "/chat/completions" or request.path == "/v1/chat/completions"
    assert not {"authorization", "host", "x-api-key"} & {name.lower() for name in request.headers}
    others = [upstream.requests for name, upstream in world.upstreams.items() if name != model]
    assert others == [[], []]
