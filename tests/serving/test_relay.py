"""What a client reads of a stream, whatever the upstream does: complete only if the upstream's answer was.

`read` does what the SDKs do: it skips comments, raises on errors, and takes every other end for a good one.
"""

import asyncio
import json
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.errors import MillraceError
from tests.doubles import stand_in_wire as wire
from tests.doubles.upstream import FakeAnswer
from tests.serving.pipeline_run import DELTA, DONE, FINISH, Run, frames, request
from tests.serving.world import World

PATHS = {
    "chat": "/v1/chat/completions",
    "completions": "/v1/completions",
    "responses": "/v1/responses",
    "messages": "/v1/messages",
}
TEXT = 'one "two"\n\n[DONE] three'
SAID = wire.answer_to({"model": "m"}, text=TEXT)
FRAMES = {
    "chat": wire.chat_frames(SAID, usage=True),
    "completions": wire.completion_frames(SAID, usage=True),
    "responses": wire.response_frames(SAID),
    "messages": wire.message_frames(SAID),
}
ERRORS = {
    "chat": wire.event(wire.error_body("no", kind="server_error", code="no")),
    "completions": wire.event(wire.error_body("no", kind="server_error", code="no")),
    "responses": wire.event({"type": "error", "code": "no", "message": "no"}, "error"),
    "messages": wire.event({"type": "error", "error": {"type": "api_error", "message": "no"}}, "error"),
}


class Refused(Exception):
    """The client raises."""


def read(operation: str, body: bytes) -> str:
    """The text a client makes of a body that ended cleanly. Raises `Refused` where the SDKs raise."""
    text = ""
    for frame in body.replace(b"\r\n", b"\n").split(b"\n\n"):
        lines = [line for line in frame.decode().split("\n") if line and not line.startswith(":")]
        data = "\n".join(line.removeprefix("data:").removeprefix(" ") for line in lines if line.startswith("data:"))
        if data.startswith("[DONE]"):
            break
        if not data:
            continue
        event = json.loads(data)
        if event.get("error") or event.get("type") == "error":
            raise Refused
        text += said(event)
    return text


def said(event: dict[str, Any]) -> str:
    """The text in an event of any protocol."""
    parts = [choice.get("text") or choice.get("delta", {}).get("content") or "" for choice in event.get("choices", ())]
    delta = event.get("delta", "")
    return "".join(parts) + str(delta.get("text", "") if isinstance(delta, dict) else delta)


@st.composite
def streams(draw: st.DrawFn) -> tuple[str, FakeAnswer, bool]:
    """An operation, an upstream's stream of it, and whether that is a whole answer."""
    operation = draw(st.sampled_from(sorted(FRAMES)))
    sent = list(FRAMES[operation])
    fault = draw(st.sampled_from(["none", "cut", "error", "no reason"]))
    if fault == "error":
        sent.insert(draw(st.integers(0, len(sent) - 1)), ERRORS[operation])
    elif fault == "no reason":
        sent = [frame for frame in sent if not any(reason in frame for reason in (b'"stop"', b'"end_turn"'))]
        sent = [frame for frame in sent if b"response.completed" not in frame]
        sent += [DONE] if operation == "responses" else []
    whole = b"".join(sent)
    if draw(st.booleans()):
        whole = whole.replace(b"\n", b"\r\n")
    end = draw(st.integers(0, len(whole))) if fault == "cut" else len(whole)
    ending = draw(st.sampled_from(["close", "cut", "stall"] if end < len(whole) else ["close", "cut"]))
    needed = len(whole.rstrip(b"\r\n")) if ending == "close" else len(whole)
    places = sorted({0, end, *draw(st.lists(st.integers(0, end), max_size=12))})
    chunks = [whole[a:b] for a, b in pairwise(places)]
    answer = frames(*chunks, cut=ending == "cut", stall=ending == "stall")
    return operation, answer, fault in ("none", "cut") and end >= needed


@settings(max_examples=400, deadline=None)
@given(streams(), st.booleans())
def test_what_a_client_takes_for_complete_was_complete(stream: tuple[str, FakeAnswer, bool], usage: bool) -> None:
    operation, answer, complete = stream

    async def scenario() -> None:
        world = World(deadline_s=0.05 if answer.stall else 30.0)
        for upstream in world.upstreams.values():
            upstream.next(answer)
        asked = (
            {"max_tokens": 5, "stream_options": {"include_usage": usage}} if operation == "chat" else {"max_tokens": 5}
        )
        run = Run(world)
        try:
            await run.answer(request(path=PATHS[operation], stream=True, **asked))
        except MillraceError:
            assert not complete
            assert run.sent == []
            run.assert_settled_once()
            return
        assert run.reply.ended
        run.assert_settled_once()
        if complete:
            assert read(operation, run.content) == TEXT
            assert run.record.error is None
        else:
            with pytest.raises(Refused):
                read(operation, run.content)
            assert run.record.error is not None
            assert run.record.tried[-1].outcome in (run.record.error, "cancelled")

    asyncio.run(scenario())


@pytest.mark.parametrize("operation", PATHS)
async def test_a_good_stream_arrives_as_it_was_sent(operation: str) -> None:
    world = World()
    world.upstreams["small"].next(frames(*FRAMES[operation]))
    asked: dict[str, Any] = {"stream_options": {"include_usage": True}} if operation in ("chat", "completions") else {}
    run = await Run(world).answer(request(path=PATHS[operation], stream=True, max_tokens=5, **asked))
    comments = [frame for frame in run.content.split(b"\n\n") if frame.startswith(b":")]
    assert len(comments) == 1
    assert run.content.replace(comments[0] + b"\n\n", b"") == b"".join(FRAMES[operation])


async def test_a_failed_response_ends_as_the_response_it_was() -> None:
    world = World()
    sent = FRAMES["responses"][:6]
    world.upstreams["small"].next(frames(*sent, cut=True))
    run = await Run(world).answer(request(path=PATHS["responses"], stream=True))
    assert run.content.startswith(b"".join(sent))
    failed = json.loads(run.content.removeprefix(b"".join(sent)).split(b"\n")[1].removeprefix(b"data: "))
    assert failed["type"] == "response.failed"
    assert failed["sequence_number"] == 6
    assert failed["response"]["id"] == f"resp_{SAID.id}"
    assert failed["response"]["status"] == "failed"


def one_of_two(*reasons: int) -> Sequence[bytes]:
    """Two choices in a stream, of which some get a reason to end."""
    return [
        *(DELTA.replace(b'"index":0', b'"index":%d' % index) for index in (0, 1)),
        *(FINISH.replace(b'"index":0', b'"index":%d' % index) for index in reasons),
        DONE,
    ]


@pytest.mark.parametrize(("reasons", "error"), [((0, 1), None), ((1,), "upstream_invalid_response")])
async def test_every_choice_of_several_has_to_end(reasons: tuple[int, ...], error: str | None) -> None:
    world = World()
    world.upstreams["small"].next(frames(*one_of_two(*reasons)))
    run = await Run(world).answer(request(stream=True, n=2))
    assert run.record.error == error
    assert (DONE in run.content) is (error is None)
