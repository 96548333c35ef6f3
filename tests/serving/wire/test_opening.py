"""The first-chunk gate: what is held, what opens it, and what an opening that is no answer becomes."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.errors import UpstreamDisconnected, UpstreamFailed, UpstreamInvalid, UpstreamRefused
from serving.wire.frames import MAX_FRAME_BYTES
from serving.wire.opening import MAX_OPENING_BYTES, Opening
from tests.doubles import stand_in_wire as wire

SAID = wire.answer_to({"model": "m"}, text="one two")
FRAMES = {
    "chat": wire.chat_frames(SAID, usage=True),
    "completions": wire.completion_frames(SAID, usage=True),
    "responses": wire.response_frames(SAID),
    "messages": wire.message_frames(SAID),
}
HELD = {"chat": 1, "completions": 0, "responses": 4, "messages": 2}
"""Frames before the first with generation."""


def opened(operation: str, *given: bytes) -> tuple[bytes, bytes]:
    """What was held, and what was left to come."""
    opening, source = Opening(operation, "r-0"), iter(given)
    for chunk in source:
        if opening.feed(chunk):
            return opening.held(), b"".join(source)
    raise opening.unopened()


@pytest.mark.parametrize("operation", FRAMES)
def test_frames_without_generation_wait_for_the_first_that_has_it(operation: str) -> None:
    frames, held = FRAMES[operation], HELD[operation]
    before, after = opened(operation, b": ping\n\n", *frames)
    assert before == b": ping\n\n" + b"".join(frames[: held + 1])
    assert before + after == b": ping\n\n" + b"".join(frames)


@pytest.mark.parametrize("operation", FRAMES)
@given(data=st.data())
def test_however_it_is_cut_nothing_is_lost(operation: str, data: st.DataObject) -> None:
    whole = b"".join(FRAMES[operation])
    places = sorted({0, len(whole), *data.draw(st.lists(st.integers(0, len(whole)), max_size=20))})
    before, after = opened(operation, *(whole[a:b] for a, b in pairwise(places)))
    assert before + after == whole
    assert before.startswith(b"".join(FRAMES[operation][: HELD[operation] + 1]))


@pytest.mark.parametrize(
    ("operation", "frame"),
    [
        ("chat", b'data: {"choices":[{"delta":{"reasoning":"hm"}}]}\n\n'),
        ("chat", b'data: {"choices":[{"delta":{"reasoning_content":"hm"}}]}\n\n'),
        ("chat", b'data: {"choices":[{"delta":{"tool_calls":[{"index":0}]}}]}\n\n'),
        ("chat", b'data: {"choices":[{"delta":{"refusal":"no"}}]}\r\n\r\n'),
        ("chat", b'data:{"choices":[{"delta":{},"finish_reason":"length"}]}\n\n'),
        ("chat", b'\xef\xbb\xbf: hi\n\ndata: {"choices":[{"delta":\ndata: {"content":"x"}}]}\n\n'),
        ("completions", b'data: {"choices":[{"text":"","finish_reason":"stop"}]}\n\n'),
        ("responses", b'data: {"type":"response.function_call_arguments.delta"}\n\n'),
        ("responses", b'data: {"type":"response.incomplete"}\n\n'),
        ("messages", b'data: {"type":"message_delta","delta":{"stop_reason":"end_turn"}}\n\n'),
    ],
)
def test_what_counts_as_generation(operation: str, frame: bytes) -> None:
    assert opened(operation, frame, b"more") == (frame, b"more")


@pytest.mark.parametrize(
    ("operation", "stream", "error", "status"),
    [
        ("chat", [], UpstreamDisconnected, 0),
        ("chat", [b": ping\n\n"], UpstreamDisconnected, 0),
        ("chat", [FRAMES["chat"][0]], UpstreamDisconnected, 0),
        ("chat", [FRAMES["chat"][0], b'data: {"choices"'], UpstreamDisconnected, 0),
        ("chat", [b"data: [DONE]\n\n"], UpstreamInvalid, 0),
        ("chat", [b"<html>this is no stream</html>"], UpstreamInvalid, 0),
        ("chat", [b"<html>\n\n</html>"], UpstreamInvalid, 0),
        ("chat", [b"data: <html>\n\n"], UpstreamInvalid, 0),
        ("chat", [b'data: "text"\n\n'], UpstreamInvalid, 0),
        ("chat", [b'data: {"error":{"message":"no","code":null}}\n\n'], UpstreamInvalid, 0),
        ("chat", [b'data: {"error":"no"}\n\n'], UpstreamInvalid, 0),
        ("chat", [b'data: {"error":{"message":"no","code":400}}\n\n'], UpstreamInvalid, 400),
        ("chat", [b'data: {"error":{"message":"no","code":"429"}}\n\n'], UpstreamRefused, 429),
        ("chat", [FRAMES["chat"][0], b'data: {"error":{"type":"server_error","code":true}}\n\n'], UpstreamRefused, 500),
        ("completions", [b'data: {"error":{"code":503}}\n\n'], UpstreamRefused, 503),
        ("responses", [*FRAMES["responses"][:2], b'data: {"type":"error","code":"x"}\n\n'], UpstreamInvalid, 0),
        (
            "responses",
            [b'data: {"type":"response.failed","response":{"error":{"code":"rate_limit_exceeded"}}}\n\n'],
            UpstreamRefused,
            429,
        ),
        ("messages", [b'event: error\ndata: {"error":{"type":"overloaded_error"}}\n\n'], UpstreamRefused, 529),
        ("messages", [b"event: error\n\n"], UpstreamInvalid, 0),
        ("messages", [b'event: error\ndata: {"x":1}\n\n'], UpstreamInvalid, 0),
        ("chat", [b": " + b"x" * MAX_FRAME_BYTES], UpstreamInvalid, 0),
        ("chat", [FRAMES["chat"][0] * (MAX_OPENING_BYTES // len(FRAMES["chat"][0]) + 1)], UpstreamInvalid, 0),
    ],
)  # fmt: skip
def test_what_is_no_answer(operation: str, stream: list[bytes], error: type[UpstreamFailed], status: int) -> None:
    with pytest.raises(UpstreamFailed) as failed:
        opened(operation, *stream)
    assert type(failed.value) is error
    assert failed.value.upstream_status == status
    assert "r-0" in failed.value.message


def test_events_that_repeat_a_large_request_are_held_however_large_they_are_together() -> None:
    created, under_way = (
        b"event: " + name + b'\ndata: {"type":"' + name + b'","response":{"metadata":"' + b"x" * (MAX_FRAME_BYTES - 200)
        + b'"}}\n\n'
        for name in (b"response.created", b"response.in_progress")
    )  # fmt: skip
    token = b'event: response.output_text.delta\ndata: {"type":"response.output_text.delta","delta":"a"}\n\n'
    pieces = created + under_way + token
    held, _ = opened("responses", pieces[: 5 << 20], pieces[5 << 20 :])
    assert held == pieces
