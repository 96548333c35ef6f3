"""One contract for every `Upstream`: what is sent and what arrives, over the rigs of `upstream_rig`.

Failures are in test_upstream_failures.py, ends in test_upstream_closing.py. Nothing here asserts on a duration.
"""

import asyncio
import json
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import pytest

from serving.errors import UpstreamDisconnected, UpstreamFailed
from serving.upstreams.upstream import UpstreamRequest
from tests.contracts.upstream_rig import CHAT, Rig, asking, engine_rig, hosted_rig, stand_in_answer, whole
from tests.doubles import stand_in_wire as wire
from tests.doubles.stand_in_process import StandInProcess
from tests.doubles.stand_in_script import Script
from tests.doubles.upstream import FakeUpstream


async def test_whole_body_arrives_unchanged(rig: Rig) -> None:
    request = asking()
    response = await rig.upstream.send(request)
    assert await response.read() == json.dumps(wire.chat(stand_in_answer(request))).encode()
    await response.close()


async def test_chunks_joined_are_the_body(rig: Rig) -> None:
    request = asking(stream=True, stream_options={"include_usage": True})
    response = await rig.upstream.send(request)
    chunks = [chunk async for chunk in response.chunks()]
    assert b"".join(chunks) == b"".join(wire.chat_frames(stand_in_answer(request), usage=True))
    await response.close()


async def test_a_body_has_arrived_once_it_is_read_to_its_end(rig: Rig) -> None:
    rig.script(Script(stall_after=1))
    response = await rig.upstream.send(asking(stream=True))
    assert await anext(response.chunks())
    assert not response.arrived()
    await response.close()
    rig.script(Script())
    response = await rig.upstream.send(asking(stream=True))
    _ = [chunk async for chunk in response.chunks()]
    assert response.arrived()
    await response.close()


async def test_head_says_who_answered(rig: Rig) -> None:
    response = await rig.upstream.send(asking(stream=True))
    assert response.status == 200
    assert response.headers["content-type"].startswith("text/event-stream")
    assert all(name == name.lower() for name in response.headers)
    assert response.replica
    assert response.concurrency >= 1
    await response.close()


async def test_head_arrives_before_the_body(rig: Rig) -> None:
    rig.script(Script(stall_after=0))
    response = await rig.upstream.send(asking(stream=True))
    assert response.status == 200
    assert rig.state()["in_flight"] == 1
    await response.close()


async def test_first_chunk_arrives_before_the_second_is_sent(rig: Rig) -> None:
    rig.script(Script(stall_after=1))
    request = asking(stream=True)
    response = await rig.upstream.send(request)
    assert await anext(response.chunks()) == wire.chat_frames(stand_in_answer(request), usage=False)[0]
    await response.close()


@pytest.mark.parametrize("status", [400, 429, 500, 503])
@pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
async def test_any_status_is_a_response(rig: Rig, status: int, stream: bool) -> None:
    rig.script(Script(status=status))
    response = await rig.upstream.send(asking(stream=stream))
    assert response.status == status
    assert set(json.loads(await response.read())["error"]) == {"message", "type", "param", "code"}
    await response.close()


async def test_body_that_is_not_json_passes(rig: Rig) -> None:
    rig.script(Script(garbage=True))
    response = await rig.upstream.send(asking())
    assert (await response.read()).startswith(b"<html>")
    await response.close()


async def test_clean_end_without_done_is_no_transport_failure(rig: Rig) -> None:
    rig.script(Script(end_after=2))
    request = asking(stream=True)
    response = await rig.upstream.send(request)
    received = b"".join([chunk async for chunk in response.chunks()])
    assert received == b"".join(wire.chat_frames(stand_in_answer(request), usage=False)[:2])
    await response.close()


async def test_whom_to_avoid_is_no_spare(rig: Rig) -> None:
    response = await rig.upstream.send(asking())
    await response.close()
    assert rig.upstream.spare(())
    assert not rig.upstream.spare({response.replica})


@pytest.mark.parametrize("failure", [None, UpstreamDisconnected("judged")], ids=["good", "bad"])
async def test_a_verdict_is_heard(rig: Rig, failure: UpstreamFailed | None) -> None:
    response = await rig.upstream.send(asking())
    response.judged(failure)
    await response.close()


async def test_concurrent_requests_get_their_own_answers(rig: Rig) -> None:
    requests = [asking(messages=[{"role": "user", "content": f"What is {n} + 1?"}]) for n in range(32)]
    answers = await asyncio.gather(*(whole(rig.upstream, request) for request in requests))
    texts = [json.loads(answer)["choices"][0]["message"]["content"] for answer in answers]
    assert texts == [str(n + 1) for n in range(32)]


@pytest.mark.parametrize("over_http", [hosted_rig, engine_rig], ids=["hosted", "engine"])
async def test_body_id_headers_and_key_reach_the_other_side(
    over_http: Callable[[StandInProcess], AbstractAsyncContextManager[Rig]], stand_in: StandInProcess
) -> None:
    async with over_http(stand_in) as rig:
        body = json.dumps({"model": "stand-in-1", "messages": [], "unknown": {"kept": [1, None]}}).encode()
        sent = UpstreamRequest(CHAT, body, "req-7", headers={"traceparent": "00-aa-bb-01"})
        await whole(rig.upstream, sent)
        last = rig.state()["last"]
    assert last["path"] == CHAT
    assert last["body"] == json.loads(body)
    assert last["headers"]["x-request-id"] == "req-7"
    assert last["headers"]["traceparent"] == "00-aa-bb-01"
    assert last["headers"]["authorization"] == "the expected key"


async def test_fake_records_what_was_sent() -> None:
    fake = FakeUpstream()
    request = asking()
    await whole(fake, request)
    assert fake.requests == [request]
