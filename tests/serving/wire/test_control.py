"""The routes the gateway answers itself: who may see them and what they say."""

import json

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.doubles.upstream import FakeAnswer, chat_answer
from tests.serving.asgi_call import ask, running
from tests.serving.world import METRICS_TOKEN, World

SCRAPER = {"authorization": f"Bearer {METRICS_TOKEN}"}


@pytest.mark.parametrize("path", ["/health", "/"])
async def test_health_needs_no_key(path: str) -> None:
    async with running(World()) as app:
        call = await ask(app, path, method="GET", headers={})
    assert (call.status, call.json()) == (200, {"status": "alive"})
    assert "x-ratelimit-limit-requests" not in call.headers


async def test_ready_names_what_is_missing_and_needs_no_key() -> None:
    world = World()
    for upstream in world.upstreams.values():
        upstream.next(chat_answer("1"))
    world.upstreams["large"].next(FakeAnswer(status=500))
    async with running(world) as app:
        before = await ask(app, "/ready", method="GET", headers={})
        await world.readiness.probe_all()
        partly = await ask(app, "/ready", method="GET", headers={})
        world.upstreams["large"].next(chat_answer("1"))
        await world.readiness.probe_all()
        after = await ask(app, "/ready", method="GET", headers={})
    assert before.status == partly.status == 503
    assert [one["model"] for one in before.json()["missing"]] == ["small", "large", "cloud"]
    assert partly.json() == {
        "ready": False,
        "missing": [{"tier": "large", "model": "large", "reason": "probe answered 500 without a token"}],
    }
    assert (after.status, after.json()) == (200, {"ready": True, "missing": []})


@pytest.mark.parametrize("path", ["/metrics", "/metrics/targets"])
@pytest.mark.parametrize(
    "headers", [{}, {"authorization": "Bearer mr-good"}, {"authorization": "Bearer \xff"}], ids=["none", "key", "odd"]
)
async def test_metrics_need_the_metrics_token(path: str, headers: dict[str, str]) -> None:
    async with running(World()) as app:
        call = await ask(app, path, method="GET", headers=headers)
    assert (call.status, call.json()["error"]["code"]) == (401, "invalid_api_key")


async def test_the_metrics_token_opens_nothing_else() -> None:
    async with running(World()) as app:
        call = await ask(app, "/v1/models", method="GET", headers=SCRAPER)
    assert call.status == 401


async def test_the_metrics_page_and_the_targets() -> None:
    async with running(World()) as app:
        await ask(app, "/health", method="GET", headers={})
        page = await ask(app, "/metrics", method="GET", headers=SCRAPER)
        targets = await ask(app, "/metrics/targets", method="GET", headers=SCRAPER)
    names = {family.name for family in text_string_to_metric_families(page.content.decode())}
    assert {"millrace_requests", "millrace_in_flight"} <= names
    assert page.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert targets.json() == [{"targets": ["127.0.0.1:1"], "labels": {"role": "gateway"}}]


async def test_models_are_listed_with_the_policy_and_stand_ins_marked() -> None:
    async with running(World()) as app:
        listed = await ask(app, "/v1/models", method="GET")
        slashed = await ask(app, "/v1/models/", method="GET")
    entries = {entry["id"]: entry for entry in listed.json()["data"]}
    assert listed.json()["object"] == "list"
    assert list(entries) == ["auto", "small", "large", "cloud"]
    assert all(entry["object"] == "model" and entry["created"] == 0 for entry in entries.values())
    assert (entries["cloud"]["stand_in"], entries["cloud"]["owned_by"]) == (True, "stand-in")
    assert (entries["small"]["stand_in"], entries["small"]["tier"]) == (False, "small")
    assert slashed.json() == listed.json()


async def test_one_model_can_be_retrieved() -> None:
    async with running(World()) as app:
        found = await ask(app, "/v1/models/small", method="GET")
        missing = await ask(app, "/v1/models/nobody/else", method="GET")
    assert found.json()["id"] == "small"
    assert found.headers["x-ratelimit-limit-requests"] == missing.headers["x-ratelimit-limit-requests"] == "8"
    assert missing.status == 404
    assert missing.json()["error"]["code"] == "model_not_found"
    assert "'nobody/else'" in missing.json()["error"]["message"]


@pytest.mark.parametrize("path", ["/v1/models", "/v1/models/small"])
async def test_models_need_a_key(path: str) -> None:
    async with running(World()) as app:
        call = await ask(app, path, method="GET", headers={})
    assert call.status == 401
    assert call.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("path", ["/health", "/ready", "/metrics", "/v1/models", "/v1/models/small"])
async def test_control_routes_take_get_only(path: str) -> None:
    async with running(World()) as app:
        call = await ask(app, path, {}, method="POST")
    assert (call.status, call.json()["error"]["code"]) == (405, "method_not_allowed")
    assert call.headers["allow"] == "GET, HEAD"


@pytest.mark.parametrize(
    "path", ["//", "/v1", "/v1/modelsx", "/metrics/", "/health/x", "/v1/chat/completions/", "/pause"]
)
async def test_everything_else_is_not_found(path: str) -> None:
    async with running(World()) as app:
        call = await ask(app, path, method="GET")
    assert (call.status, call.json()["error"]["code"]) == (404, "route_not_found")
    assert json.dumps(path).strip('"') in call.json()["error"]["message"]


async def test_what_is_counted_of_a_path_is_bounded() -> None:
    world = World()
    async with running(world) as app:
        for path in ("/v1/models/a", "/v1/models/b", "/x", "/y"):
            await ask(app, path, method="GET")
    assert {line["operation"] for line in world.lines} == {"/v1/models", "-"}
