"""Background responses: taken by one gateway, seen and cancelled through any, and never left hanging by a dead one."""

import asyncio
import json
from typing import Any

import pytest
from starlette.types import ASGIApp

from serving.errors import StoreUnavailable
from serving.responses.background import STALE_S
from serving.store.responses import StoredResponse
from tests.doubles.stand_in_script import Script
from tests.doubles.upstream import following
from tests.serving.asgi_call import PATIENCE_S, ask, running, until
from tests.serving.responses.test_desk import PATH, get
from tests.serving.world import World

ASKED = {"model": "small", "input": "Sort 4 2 3.", "background": True}
ENDLESS = following(Script(hang=True))


async def status(app: ASGIApp, id: str) -> dict[str, Any]:
    """The response as a client sees it now."""
    body: dict[str, Any] = (await get(app, f"{PATH}/{id}")).json()
    return body


async def ended(app: ASGIApp, id: str) -> dict[str, Any]:
    """The response once it has ended."""
    async with asyncio.timeout(PATIENCE_S):
        while (seen := await status(app, id))["status"] in ("queued", "in_progress"):  # noqa: ASYNC110 — over the API
            await asyncio.sleep(0.001)
    return seen


def stuck() -> World:
    """A world whose models never answer."""
    world = World()
    for upstream in world.upstreams.values():
        upstream.next(ENDLESS)
    return world


async def test_it_is_queued_at_once_and_completed_later() -> None:
    world = World()
    async with running(world) as app:
        made = await ask(app, PATH, ASKED)
        done = await ended(app, made.json()["id"])
    assert (made.status, made.json()["status"], made.json()["output"]) == (200, "queued", [])
    assert (done["status"], done["background"], done["id"]) == ("completed", True, made.json()["id"])
    assert done["output"][0]["content"][0]["text"] == "2 3 4"


async def test_what_is_done_in_the_background_is_accounted_like_any_request() -> None:
    world = World()
    async with running(world) as app:
        await ended(app, (await ask(app, PATH, ASKED, headers=None)).json()["id"])
        await until(lambda: any(line["model"] == "small" for line in world.lines))
    queue, work = (line for line in world.lines if line["operation"] in ("responses.queue", "responses"))
    assert (queue["operation"], queue["status"], queue["model"]) == ("responses.queue", 200, "-")
    assert (work["operation"], work["status"], work["tenant"]) == ("responses", 200, "acme")
    assert work["output_tokens"] > 0
    assert work["request_id"] == queue["request_id"]


async def test_a_turn_after_one_in_the_background() -> None:
    world = World()
    async with running(world) as app:
        id = (await ask(app, PATH, ASKED)).json()["id"]
        await ended(app, id)
        call = await ask(app, PATH, {"model": "small", "input": "and?", "previous_response_id": id})
    assert call.status == 200
    assert len(json.loads(world.upstreams["small"].requests[-1].body)["input"]) == 3


async def test_one_that_is_still_going_on_cannot_be_continued() -> None:
    world = stuck()
    async with running(world) as app:
        id = (await ask(app, PATH, ASKED)).json()["id"]
        call = await ask(app, PATH, {"model": "small", "input": "and?", "previous_response_id": id})
        await get(app, f"{PATH}/{id}/cancel", method="POST")
    assert (call.status, call.json()["error"]["param"]) == (400, "previous_response_id")


async def test_a_failure_is_told_by_the_response() -> None:
    world = World()
    world.upstreams["small"].next(following(Script(status=400)))
    async with running(world) as app:
        refused = await ended(app, (await ask(app, PATH, ASKED)).json()["id"])
        unknown = await ended(app, (await ask(app, PATH, ASKED | {"model": "nobody"})).json()["id"])
    assert (refused["status"], refused["error"]["code"]) == ("failed", "scripted")
    assert (unknown["status"], unknown["error"]["code"]) == ("failed", "model_not_found")


async def test_cancelling_stops_the_upstream() -> None:
    world = stuck()
    async with running(world) as app:
        id = (await ask(app, PATH, ASKED)).json()["id"]
        await until(lambda: world.upstreams["small"].in_flight)
        cancelled = await get(app, f"{PATH}/{id}/cancel", method="POST")
        await until(lambda: not world.upstreams["small"].in_flight)
        again = await get(app, f"{PATH}/{id}/cancel", method="POST")
        assert (await status(app, id))["status"] == "cancelled"
    assert (cancelled.status, cancelled.json()["status"]) == (200, "cancelled")
    assert again.json() == cancelled.json()


@pytest.mark.parametrize(("method", "suffix"), [("POST", "/cancel"), ("DELETE", "")])
async def test_another_gateway_stops_it_too(method: str, suffix: str) -> None:
    world, other = stuck(), World()
    other.store = world.store
    async with running(world) as app, running(other) as elsewhere:
        id = (await ask(app, PATH, ASKED)).json()["id"]
        await until(lambda: world.upstreams["small"].in_flight)
        assert (await status(elsewhere, id))["status"] == "in_progress"
        assert (await get(elsewhere, f"{PATH}/{id}{suffix}", method=method)).status == 200
        assert world.upstreams["small"].in_flight
        await world.background.beat()
        await until(lambda: not world.upstreams["small"].in_flight)


async def test_one_that_has_completed_is_not_cancelled_any_more() -> None:
    world = World()
    async with running(world) as app:
        id = (await ask(app, PATH, ASKED)).json()["id"]
        done = await ended(app, id)
        call = await get(app, f"{PATH}/{id}/cancel", method="POST")
    assert (call.status, call.json()) == (200, done)


async def test_only_background_responses_are_cancelled() -> None:
    world = World()
    async with running(world) as app:
        id = (await ask(app, PATH, ASKED | {"background": False})).json()["id"]
        call = await get(app, f"{PATH}/{id}/cancel", method="POST")
    assert (call.status, call.json()["error"]["code"]) == (400, "invalid_request")


async def test_one_of_a_dead_gateway_is_found_failed() -> None:
    world, other = stuck(), World()
    other.store = world.store
    async with running(world) as app, running(other) as elsewhere:
        id = (await ask(app, PATH, ASKED)).json()["id"]
        await until(lambda: world.upstreams["small"].in_flight)
        beat_s = other.store.rows[id].beat_s
        other.now.now = beat_s + STALE_S
        assert (await status(elsewhere, id))["status"] == "in_progress"
        other.now.now = beat_s + STALE_S + 1
        lost = await status(elsewhere, id)
        await world.background.beat()
        await until(lambda: not world.upstreams["small"].in_flight)
    assert (lost["status"], lost["error"]["code"]) == ("failed", "server_error")


async def test_a_beat_keeps_it_alive() -> None:
    world, other = stuck(), World()
    other.store = world.store
    async with running(world) as app, running(other) as elsewhere:
        id = (await ask(app, PATH, ASKED)).json()["id"]
        world.now.now = other.now.now = world.now.now + 10 * STALE_S
        await world.background.beat()
        assert (await status(elsewhere, id))["status"] == "in_progress"
        await world.background.stop(grace_s=0.0)


async def test_stopping_lets_what_can_end_end() -> None:
    world = World()
    world.upstreams["small"].next(following(Script(delay_head_s=0.05)))
    async with running(world) as app:
        id = (await ask(app, PATH, ASKED)).json()["id"]
        await world.background.stop(grace_s=20.0)
        assert (await status(app, id))["status"] == "completed"


async def test_stopping_fails_what_cannot() -> None:
    world = stuck()
    async with running(world) as app:
        id = (await ask(app, PATH, ASKED)).json()["id"]
        await until(lambda: world.upstreams["small"].in_flight)
        await world.background.stop(grace_s=0.0)
        stopped = await status(app, id)
    assert (stopped["status"], stopped["error"]["message"]) == ("failed", "its gateway was stopped")


async def test_there_is_room_for_only_so_many() -> None:
    world = stuck()
    async with running(world) as app:
        calls = [await ask(app, PATH, ASKED) for _ in range(3)]
        await world.background.stop(grace_s=0.0)
    assert [call.status for call in calls] == [200, 200, 503]
    assert calls[2].json()["error"]["code"] == "overloaded"
    assert len(world.store.rows) == 2


async def test_those_still_being_stored_count() -> None:
    world = stuck()
    save, goes_on = world.store.save, asyncio.Event()

    async def slowly(response: StoredResponse) -> None:
        await goes_on.wait()
        await save(response)

    world.store.save = slowly  # type: ignore[method-assign]
    async with running(world) as app:
        asking = [asyncio.ensure_future(ask(app, PATH, ASKED)) for _ in range(5)]
        await until(lambda: sum(call.done() for call in asking) == 3)
        goes_on.set()
        calls = await asyncio.gather(*asking)
        await world.background.stop(grace_s=0.0)
    assert sorted(call.status for call in calls) == [200, 200, 503, 503, 503]


async def test_a_short_outage_of_the_store_loses_no_answer() -> None:
    world = World()
    advance, outages = world.store.advance, [StoreUnavailable("locked")]

    async def flaky(tenant: str, id: str, *, status: str, body: bytes) -> bool:
        if status == "completed" and outages:
            raise outages.pop()
        return await advance(tenant, id, status=status, body=body)

    world.store.advance = flaky  # type: ignore[method-assign]
    async with running(world) as app:
        done = await ended(app, (await ask(app, PATH, ASKED)).json()["id"])
    assert (done["status"], outages) == ("completed", [])


async def test_a_store_that_breaks_meanwhile_loses_the_answer_but_settles_it() -> None:
    world = World()
    world.upstreams["small"].next(following(Script(delay_head_s=0.05)))
    async with running(world) as app:
        id = (await ask(app, PATH, ASKED)).json()["id"]
        await until(lambda: world.upstreams["small"].in_flight)
        world.store.broken = True
        await world.background.stop(grace_s=20.0)
        world.store.broken = False
        assert (await status(app, id))["status"] == "in_progress"
    assert [line["output_tokens"] > 0 for line in world.lines if line["operation"] == "responses"] == [True]
