"""A stream's way back: comments while nothing is said, and the end of a client that does not read."""

import asyncio
import json
import time
from typing import Any

import pytest
from starlette.types import Message

from serving.errors import UpstreamRefused
from serving.record import Record
from serving.stream_reply import KEEP_ALIVE, ClientTooSlow
from serving.wire.reply import Reply
from tests.doubles.upstream import FakeAnswer, chat_stream, refusing
from tests.serving.asgi_call import until
from tests.serving.pipeline_run import DELTA, DONE, FINISH, Run, frames, request
from tests.serving.world import TENANT, World

HELD = b'data: {"choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}\n\n'
QUICK_S = 0.02


def quiet_world(**settings: Any) -> World:
    """A world in which a stream's client hears from us every few milliseconds."""
    return World(clock=time.perf_counter, **{"keepalive_s": QUICK_S, **settings})


def comments(content: bytes) -> list[bytes]:
    return [frame for frame in content.split(b"\n\n") if frame.startswith(b":")]


async def test_a_quick_stream_gets_no_comment() -> None:
    world = quiet_world(keepalive_s=30.0)
    world.upstreams["small"].next(chat_stream("4"))
    run = await Run(world).answer(request(stream=True))
    assert KEEP_ALIVE not in run.content


async def test_while_nothing_is_generated_the_client_is_told_that_we_are_here() -> None:
    world = quiet_world()
    world.upstreams["small"].next(frames(HELD, DELTA, FINISH, DONE, delay_chunk_s=QUICK_S * 5))
    run = await Run(world).answer(request(stream=True))
    assert run.reply.status == 200
    assert run.content.startswith(KEEP_ALIVE)
    assert run.content.index(HELD) > run.content.index(KEEP_ALIVE)
    assert run.content.endswith(DONE)
    assert run.record.error is None
    run.assert_settled_once()


async def test_what_was_no_header_any_more_is_told_as_comments() -> None:
    world = quiet_world()
    world.upstreams["small"].next(FakeAnswer([HELD, DELTA, FINISH, DONE], headers=frames().headers, delay_head_s=0.1))
    run = await Run(world).answer(request(stream=True))
    assert run.headers["x-millrace-decision"] == "mrd-1"
    assert "x-millrace-model" not in run.headers
    told = comments(run.content[: run.content.index(HELD)])
    assert b": x-millrace-model=small" in told
    assert b": x-millrace-attempts=1" in told


async def test_failing_over_is_still_possible_behind_comments() -> None:
    world = quiet_world()
    world.upstreams["small"].next(FakeAnswer(status=500, delay_head_s=0.1))
    world.upstreams["large"].next(chat_stream("4"))
    run = await Run(world).answer(request(stream=True))
    assert b": x-millrace-model=large" in run.content
    assert run.content.endswith(DONE)


@pytest.mark.parametrize(
    ("path", "name"),
    [("/v1/chat/completions", b"data"), ("/v1/messages", b"event: error"), ("/v1/responses", b"response.failed")],
)
async def test_a_failure_behind_comments_is_an_error_frame(path: str, name: bytes) -> None:
    world = quiet_world()
    for upstream in world.upstreams.values():
        upstream.next(refusing(UpstreamRefused("down")))
    world.upstreams["small"].next(FakeAnswer(status=500, delay_head_s=0.1))
    run = await Run(world).answer(request(path=path, stream=True, max_tokens=5))
    assert run.reply.ended
    assert name in run.content
    assert b'"error"' in run.content.split(b"\n\n")[-2]
    assert DONE not in run.content
    assert run.record.error is not None
    run.assert_settled_once()


async def test_a_models_refusal_behind_comments_is_an_error_frame_with_its_words() -> None:
    world = quiet_world()
    body = json.dumps({"error": {"message": "too long", "type": "x", "param": None, "code": "y"}}).encode()
    world.upstreams["small"].next(FakeAnswer([body], status=400, delay_head_s=0.1))
    run = await Run(world).answer(request(stream=True))
    error = json.loads(run.content.split(b"data: ")[1])["error"]
    assert (error["message"], error["type"]) == ("too long", "invalid_request_error")
    run.assert_settled_once()


async def test_comments_go_on_while_a_live_stream_is_silent_and_never_within_a_frame() -> None:
    world = quiet_world()
    half = len(DELTA) // 2
    chunks = [DELTA, DELTA[:half], DELTA[half:], FINISH, DONE]
    world.upstreams["small"].next(frames(*chunks, delay_chunk_s=QUICK_S * 3))
    run = await Run(world).answer(request(stream=True))
    between = [message["body"] for message in run.sent[1:]]
    assert between[0] == DELTA
    assert KEEP_ALIVE in between[1:]
    assert {frame for frame in run.content.split(b"\n\n") if not frame.startswith(b":")} == {
        DELTA.strip(), FINISH.strip(), DONE.strip(), b"",
    }  # fmt: skip


async def test_the_deadline_holds_while_comments_go_out() -> None:
    world = quiet_world(deadline_s=QUICK_S * 8)
    world.upstreams["small"].next(frames(HELD, stall=True))
    run = await Run(world).answer(request(stream=True))
    assert KEEP_ALIVE in run.content
    assert json.loads(run.content.split(b"data: ")[-1])["error"]["code"] == "upstream_timeout"
    run.assert_settled_once()


class Unread:
    """A client that takes `taken` messages and then reads no more, behind a server that makes senders wait."""

    def __init__(self, taken: int) -> None:
        self.sent: list[Message] = []
        self._taken = taken

    async def send(self, message: Message) -> None:
        if len(self.sent) >= self._taken:
            await asyncio.Event().wait()
        self.sent.append(message)


@pytest.mark.parametrize(
    ("chunks", "taken"),
    [([DELTA, DELTA, FINISH, DONE], 2), ([DELTA, FINISH, DONE], 3), ([HELD, HELD], 1), ([DELTA], 2)],
    ids=["within the stream", "at its end", "at a comment before it", "at a comment within it"],
)
async def test_a_client_that_stops_reading_is_cut_and_its_upstream_with_it(chunks: list[bytes], taken: int) -> None:
    world = quiet_world(write_timeout_s=0.1)
    world.upstreams["small"].next(frames(*chunks, stall=DONE not in chunks))
    run, client = Run(world), Unread(taken)
    run.reply = Reply(client.send, "req-1")
    with pytest.raises(ClientTooSlow):
        await run.answer(request(stream=True))
    assert len(client.sent) == taken
    assert client.sent[-1].get("more_body") is not False
    run.assert_settled_once()


async def test_a_slow_client_does_not_hold_up_another() -> None:
    world = quiet_world(write_timeout_s=30.0)
    world.upstreams["small"].next(frames(DELTA, FINISH, DONE))
    slow, quick = Run(world), Run(world)
    client = Unread(2)
    slow.reply = Reply(client.send, "req-1")
    waiting = asyncio.ensure_future(slow.answer(request(stream=True)))
    await until(lambda: len(client.sent) == 2)
    record = Record(request_id="req-2", decision="mrd-2", received_s=0.0)
    await world.pipeline().answer(request(stream=True), TENANT, quick.reply, record)
    assert quick.content.endswith(DONE)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_a_client_that_is_gone_when_a_comment_is_due_is_no_surprise() -> None:
    def gone(message: Message) -> None:
        raise OSError("gone")

    world = quiet_world()
    world.upstreams["small"].next(frames(HELD, DELTA, delay_chunk_s=0.1))
    run = Run(world, on_send=gone)
    with pytest.raises(OSError, match="gone"):
        await run.answer(request(stream=True))
    run.assert_settled_once()
