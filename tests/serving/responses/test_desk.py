"""The Responses API through a whole gateway, without a network: what is kept, continued, handed out and forgotten."""

import asyncio
import json
from typing import Any

import pytest
from starlette.types import ASGIApp

from serving.keys import Tenant
from serving.responses.desk import PAUSE_S
from serving.store.responses import StoredResponse
from tests.doubles import stand_in_wire as wire
from tests.doubles.stand_in_script import Script
from tests.doubles.upstream import FakeAnswer, following
from tests.serving.asgi_call import Call, ask, http_scope, running, until
from tests.serving.world import World

PATH = "/v1/responses"
ASKED = {"model": "small", "input": "Sort 4 2 3."}
CALL = {
    "id": "fc_1",
    "type": "function_call",
    "status": "completed",
    "call_id": "call_1",
    "name": "f",
    "arguments": "{}",
}


def sent(world: World, name: str = "small") -> dict[str, Any]:
    """The body of the last request an upstream was sent."""
    body: dict[str, Any] = json.loads(world.upstreams[name].requests[-1].body)
    return body


def events(call: Call) -> list[dict[str, Any]]:
    """The events of a stream."""
    lines = call.content.decode().split("\n")
    return [json.loads(line[6:]) for line in lines if line.startswith("data: ")]


async def get(app: ASGIApp, path: str, query: str = "", method: str = "GET") -> Call:
    """One request without a body."""
    call = Call(app, http_scope(method, path) | {"query_string": query.encode()})
    call.body(b"")
    return await call.ended()


def answering_with_a_call() -> FakeAnswer:
    """A whole response whose output is a function call."""
    whole = wire.response(wire.answer_to({"model": "small"}, text="-")) | {"output": [CALL]}
    return FakeAnswer([json.dumps(whole).encode()])


async def test_an_answer_is_kept_by_default_and_retrieved_as_it_was_shown() -> None:
    world = World()
    async with running(world) as app:
        made = await ask(app, PATH, ASKED)
        kept = await get(app, f"{PATH}/{made.json()['id']}")
    assert (made.status, kept.status) == (200, 200)
    assert kept.json() == made.json()
    assert made.json()["store"] is True
    assert made.json()["status"] == "completed"


async def test_upstreams_are_never_asked_to_keep_anything() -> None:
    world = World()
    async with running(world) as app:
        first = (await ask(app, PATH, ASKED)).json()["id"]
        await ask(app, PATH, ASKED | {"previous_response_id": first, "background": False, "store": True})
    body = sent(world)
    assert body["store"] is False
    assert not {"previous_response_id", "background", "conversation"} & set(body)


async def test_no_more_bodies_wait_for_the_store_than_there_are_places() -> None:
    world = World(limit=2)
    load, goes_on = world.store.load, asyncio.Event()

    async def slowly(tenant: str, id: str) -> StoredResponse | None:
        await goes_on.wait()
        return await load(tenant, id)

    world.store.load = slowly  # type: ignore[method-assign]
    async with running(world) as app:
        body = ASKED | {"previous_response_id": "resp_none"}
        asking = [asyncio.ensure_future(ask(app, PATH, body)) for _ in range(5)]
        await until(lambda: sum(call.done() for call in asking) == 3)
        goes_on.set()
        calls = await asyncio.gather(*asking)
    assert sorted(call.status for call in calls) == [404, 404, 503, 503, 503]
    assert (world.intake.reading, world.admission.in_flight) == (0, 0)


async def test_without_state_the_answer_is_the_upstreams_own_and_the_store_untouched() -> None:
    world = World()
    world.store.broken = True
    async with running(world) as app:
        call = await ask(app, PATH, ASKED | {"store": False})
        stream = await ask(app, PATH, ASKED | {"store": False, "stream": True})
    asked = json.loads(world.upstreams["small"].requests[0].body)
    assert call.json() == wire.response(wire.answer_to(asked))
    assert (call.status, stream.status, world.store.calls) == (200, 200, 0)
    assert sent(world)["input"] == ASKED["input"]


async def test_a_turn_is_told_everything_before_it() -> None:
    world = World()
    async with running(world) as app:
        previous = None
        for number in range(3):
            world.upstreams["small"].next(following(Script(answer=f"answer {number}")))
            body = {"model": "small", "input": f"question {number}", "instructions": f"be {number}"}
            call = await ask(app, PATH, body | ({"previous_response_id": previous} if previous else {}))
            assert call.json()["previous_response_id"] == previous
            previous = call.json()["id"]
        items = await get(app, f"{PATH}/{previous}/input_items", "order=asc")
    told = [(item["role"], item["content"]) for item in sent(world)["input"]]
    assert told == [
        ("user", "question 0"),
        ("assistant", "answer 0"),
        ("user", "question 1"),
        ("assistant", "answer 1"),
        ("user", "question 2"),
    ]
    assert sent(world)["instructions"] == "be 2"
    texts = [item["content"][0]["text"] for item in items.json()["data"]]
    assert texts == ["question 0", "answer 0", "question 1", "answer 1", "question 2"]


@pytest.mark.parametrize("background", [False, True], ids=["waited for", "background"])
async def test_an_answer_that_leaves_things_out_is_completed(background: bool) -> None:
    world = World()
    output = [{"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "4"}]}]
    bare = FakeAnswer([json.dumps({"id": "x", "output": output}).encode()])
    world.upstreams["small"].next(bare)
    async with running(world) as app:
        made = (await ask(app, PATH, ASKED | {"background": background})).json()
        await until(lambda: world.store.rows[made["id"]].status == "completed")
        kept = (await get(app, f"{PATH}/{made['id']}")).json()
        await ask(app, PATH, ASKED | {"previous_response_id": made["id"]})
        (row,) = [row for row in world.store.rows.values() if row.id != made["id"]]
        page = (await get(app, f"{PATH}/{row.id}/input_items", "order=asc")).json()
    assert (kept["status"], kept["object"], kept["model"], kept["output"]) == (
        "completed", "response", "small", output,
    )  # fmt: skip
    assert sent(world)["input"][1] == {"type": "message", "role": "assistant", "content": "4"}
    assert all(item["id"] for item in page["data"])


async def test_instructions_are_not_inherited() -> None:
    world = World()
    async with running(world) as app:
        first = (await ask(app, PATH, ASKED | {"instructions": "be brief"})).json()["id"]
        await ask(app, PATH, ASKED | {"previous_response_id": first})
    assert "instructions" not in sent(world)


async def test_a_function_call_is_answered_in_the_next_turn() -> None:
    world = World()
    world.upstreams["small"].next(answering_with_a_call())
    async with running(world) as app:
        first = (await ask(app, PATH, ASKED)).json()["id"]
        result = {"type": "function_call_output", "call_id": "call_1", "output": "2 3 4"}
        await ask(app, PATH, {"model": "small", "input": [result], "previous_response_id": first})
    assert sent(world)["input"] == [
        {"type": "message", "role": "user", "content": "Sort 4 2 3."},
        {"type": "function_call", "call_id": "call_1", "name": "f", "arguments": "{}"},
        result,
    ]


async def test_continuing_without_keeping() -> None:
    world = World()
    async with running(world) as app:
        first = (await ask(app, PATH, ASKED)).json()["id"]
        call = await ask(app, PATH, ASKED | {"previous_response_id": first, "store": False})
        kept = await get(app, f"{PATH}/{call.json()['id']}")
    assert (call.json()["store"], call.json()["previous_response_id"]) == (False, first)
    assert (kept.status, kept.json()["error"]["code"]) == (404, "response_not_found")


async def test_a_stream_is_kept_before_its_end_is_shown() -> None:
    world = World()
    async with running(world) as app:
        call = await ask(app, PATH, ASKED | {"stream": True})
        shown = [event["response"] for event in events(call) if "response" in event]
        kept = await get(app, f"{PATH}/{shown[-1]['id']}")
    assert [event["sequence_number"] for event in events(call)] == list(range(len(events(call))))
    assert {(one["id"], one["store"]) for one in shown} == {(shown[0]["id"], True)}
    assert kept.json() == shown[-1]
    assert kept.json()["output"][0]["content"][0]["text"] == "2 3 4"


async def test_a_stream_that_fails_is_kept_as_failed() -> None:
    world = World()
    world.upstreams["small"].next(following(Script(cut_after=6)))
    async with running(world) as app:
        call = await ask(app, PATH, ASKED | {"stream": True})
        *_, failed, error = events(call)
        kept = await get(app, f"{PATH}/{failed['response']['id']}")
        again = await ask(app, PATH, ASKED | {"previous_response_id": failed["response"]["id"]})
    assert failed["type"] == "response.failed"
    assert error["error"]["code"] == "upstream_disconnected"
    assert (kept.json()["status"], kept.json()["error"]["code"]) == ("failed", "upstream_disconnected")
    assert (again.status, again.json()["error"]["param"]) == (400, "previous_response_id")


async def test_a_refusal_of_the_model_is_passed_on_and_not_kept() -> None:
    world = World()
    world.upstreams["small"].next(following(Script(status=400)))
    async with running(world) as app:
        call = await ask(app, PATH, ASKED)
    assert call.status == 400
    assert world.store.rows == {}


async def test_an_answer_that_cannot_be_kept_is_an_error_and_the_next_is_refused_before_it_costs() -> None:
    world = World()
    async with running(world) as app:
        world.store.broken = True
        first = await ask(app, PATH, ASKED)
        asked = len(world.upstreams["small"].requests)
        second = await ask(app, PATH, ASKED)
        assert len(world.upstreams["small"].requests) == asked
        world.store.broken = False
        world.now.now += PAUSE_S
        third = await ask(app, PATH, ASKED)
    assert [call.status for call in (first, second, third)] == [503, 503, 200]
    assert {call.json()["error"]["code"] for call in (first, second)} == {"store_unavailable"}
    assert first.headers["retry-after"]


async def test_a_stream_that_cannot_be_kept_ends_as_failed() -> None:
    world = World()
    world.store.broken = True
    async with running(world) as app:
        call = await ask(app, PATH, ASKED | {"stream": True})
    *_, failed, error = events(call)
    assert call.complete
    assert "response.completed" not in [event.get("type") for event in events(call)]
    assert (failed["type"], failed["response"]["error"]["code"]) == ("response.failed", "store_unavailable")
    assert error["error"]["code"] == "store_unavailable"
    assert world.lines[-1]["error"] == "store_unavailable"


async def test_a_failed_stream_that_cannot_be_kept_still_tells_its_own_failure() -> None:
    world = World()
    world.store.broken = True
    world.upstreams["small"].next(following(Script(cut_after=6)))
    async with running(world) as app:
        call = await ask(app, PATH, ASKED | {"stream": True})
    assert call.complete
    assert events(call)[-1]["error"]["code"] == "upstream_disconnected"


async def test_continuing_with_a_broken_store_is_unavailable() -> None:
    world = World()
    world.store.broken = True
    async with running(world) as app:
        call = await ask(app, PATH, ASKED | {"store": False, "previous_response_id": "resp_1"})
    assert (call.status, call.json()["error"]["code"]) == (503, "store_unavailable")
    assert world.upstreams["small"].requests == []


@pytest.mark.parametrize(
    ("method", "suffix"), [("GET", ""), ("DELETE", ""), ("GET", "/input_items"), ("POST", "/cancel")]
)
async def test_nobody_sees_or_touches_what_another_tenant_keeps(method: str, suffix: str) -> None:
    world = World()
    async with running(world) as app:
        id = (await ask(app, PATH, ASKED)).json()["id"]
        row = world.store.rows[id]
        world.tenant = Tenant(id="rival", key_id="key_2", name="other")
        call = await get(app, f"{PATH}/{id}{suffix}", method=method)
        unknown = await get(app, f"{PATH}/resp_unknown{suffix}", method=method)
        continued = await ask(app, PATH, ASKED | {"previous_response_id": id})
    assert (call.status, call.json()["error"]["code"]) == (404, "response_not_found")
    assert call.json()["error"]["message"].replace(id, "resp_unknown") == unknown.json()["error"]["message"]
    assert (continued.status, continued.json()["error"]["code"]) == (404, "response_not_found")
    assert continued.json()["error"]["param"] == "previous_response_id"
    assert world.store.rows[id] == row


async def test_what_was_deleted_is_gone() -> None:
    world = World()
    async with running(world) as app:
        id = (await ask(app, PATH, ASKED)).json()["id"]
        deleted = await get(app, f"{PATH}/{id}", method="DELETE")
        after = [await get(app, f"{PATH}/{id}", method=method) for method in ("GET", "DELETE")]
    assert deleted.json() == {"id": id, "object": "response", "deleted": True}
    assert [call.status for call in after] == [404, 404]


async def test_a_conversation_outlives_the_turns_it_was_made_of() -> None:
    world = World()
    async with running(world) as app:
        first = (await ask(app, PATH, ASKED)).json()["id"]
        second = (await ask(app, PATH, ASKED | {"previous_response_id": first})).json()["id"]
        await get(app, f"{PATH}/{first}", method="DELETE")
        third = await ask(app, PATH, ASKED | {"previous_response_id": second})
    assert third.status == 200
    assert len(sent(world)["input"]) == 5


@pytest.mark.parametrize("background", [False, True], ids=["waited for", "background"])
async def test_a_conversation_over_the_size_that_is_kept_is_refused_before_it_costs(background: bool) -> None:
    world = World(max_body_bytes=100_000)
    async with running(world) as app:
        call = await ask(app, PATH, {"model": "small", "input": "x" * 20_000, "background": background})
        free = await ask(app, PATH, {"model": "small", "input": "x" * 20_000, "store": False})
    assert (call.status, call.json()["error"]["code"]) == (413, "body_too_large")
    assert "response_max_bytes" in call.json()["error"]["message"]
    assert free.status == 200
    assert len(world.upstreams["small"].requests) == 1


async def test_an_answer_that_makes_it_too_large_to_keep_is_refused() -> None:
    world = World()
    world.upstreams["small"].next(following(Script(answer="y" * 30_000)))
    async with running(world) as app:
        call = await ask(app, PATH, ASKED)
    assert (call.status, call.json()["error"]["code"]) == (413, "body_too_large")


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("limit=10001", "limit"),
        ("limit=00501", "limit"),
        ("limit=some", "limit"),
        ("order=up", "order"),
        ("after=msg_none", "after"),
    ],
)
async def test_a_wrong_page_is_refused_by_name(query: str, param: str) -> None:
    world = World()
    async with running(world) as app:
        id = (await ask(app, PATH, ASKED)).json()["id"]
        call = await get(app, f"{PATH}/{id}/input_items", query)
    assert (call.status, call.json()["error"]["param"]) == (400, param)


async def test_items_come_in_pages_newest_first() -> None:
    world = World()
    async with running(world) as app:
        turns = [{"role": "user", "content": str(number)} for number in range(25)]
        id = (await ask(app, PATH, {"model": "small", "input": turns})).json()["id"]
        first = (await get(app, f"{PATH}/{id}/input_items")).json()
        second = (await get(app, f"{PATH}/{id}/input_items", f"after={first['last_id']}")).json()
    texts = [item["content"][0]["text"] for item in first["data"] + second["data"]]
    assert texts == [str(number) for number in reversed(range(25))]
    assert (len(first["data"]), first["has_more"], second["has_more"]) == (20, True, False)


@pytest.mark.parametrize(
    ("method", "path", "query", "status", "code"),
    [
        ("GET", f"{PATH}/resp_1", "stream=true", 400, "invalid_request"),
        ("POST", f"{PATH}/resp_1", "", 405, "method_not_allowed"),
        ("GET", f"{PATH}/resp_1/cancel", "", 405, "method_not_allowed"),
        ("DELETE", f"{PATH}/resp_1/input_items", "", 405, "method_not_allowed"),
        ("GET", f"{PATH}/resp_1/other", "", 404, "route_not_found"),
        ("GET", f"{PATH}/resp_1/input_items/more", "", 404, "route_not_found"),
        ("GET", f"{PATH}/", "", 404, "route_not_found"),
    ],
)
async def test_what_is_not_offered_is_said_so(method: str, path: str, query: str, status: int, code: str) -> None:
    async with running(World()) as app:
        call = await get(app, path, query, method)
    assert (call.status, call.json()["error"]["code"]) == (status, code)
    assert ("allow" in call.headers) == (status == 405)


@pytest.mark.parametrize(("method", "suffix"), [("GET", ""), ("POST", "/cancel")])
async def test_a_key_is_needed(method: str, suffix: str) -> None:
    world = World()
    async with running(world) as app:
        call = Call(app, http_scope(method, f"{PATH}/resp_1{suffix}", {}))
        call.body(b"")
        await call.ended()
    assert call.status == 401
    assert world.store.calls == 0
