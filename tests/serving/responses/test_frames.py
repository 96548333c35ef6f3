"""Frames with the response object are made ours; every other byte goes by as it came, however it is cut."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.errors import StoreUnavailable
from serving.responses.frames import OwnFrames
from serving.responses.objects import Terms, queued
from serving.wire.frames import frame_data, frame_end
from tests.doubles import stand_in_wire as wire

TERMS = Terms("resp_ours", store=True, previous_id="resp_before", background=False)
FRAMES = wire.response_frames(wire.answer_to({"model": "m"}, text="one two three"))


def own() -> OwnFrames:
    return OwnFrames(TERMS, queued({"model": "m"}, TERMS, now_s=1.0))


def frames_of(stream: bytes) -> list[bytes]:
    found, place = [], 0
    while (end := frame_end(stream, place)) >= 0:
        found.append(stream[place:end])
        place = end
    return found


def test_only_frames_with_the_response_change() -> None:
    frames = own()
    for sent in FRAMES:
        shown = b"".join(frames.rewrite(sent))
        before, after = frame_data(sent), frame_data(shown)
        assert before is not None
        assert after is not None
        if "response" not in before:
            assert shown == sent
            continue
        assert shown.split(b"\n")[0] == sent.split(b"\n")[0]
        assert after.items() >= {key: before[key] for key in ("type", "sequence_number")}.items()
        assert after["response"]["id"] == "resp_ours"
        assert after["response"]["store"] is True
        assert after["response"]["previous_response_id"] == "resp_before"
        assert after["response"]["output"] == before["response"]["output"]
    assert frames.ended
    assert frames.response["status"] == "completed"


@given(st.lists(st.integers(0, len(FRAMES)), max_size=6))
def test_however_frames_are_bundled_the_stream_is_the_same(cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(FRAMES)]
    frames, single = own(), own()
    bundled = [frames.rewrite(b"".join(FRAMES[a:b])) for a, b in pairwise(edges)]
    assert b"".join(before + rest for before, rest in bundled) == b"".join(
        b"".join(single.rewrite(frame)) for frame in FRAMES
    )


def test_the_end_is_told_apart_from_what_came_before_it() -> None:
    before, rest = own().rewrite(b"".join(FRAMES) + b": a comment\n\n")
    assert frames_of(before)[-1].startswith(b"event: response.output_item.done")
    assert [frame.split(b"\n")[0] for frame in frames_of(rest)] == [b"event: response.completed", b": a comment"]


@pytest.mark.parametrize("gap", ["\n\n", "\r\n\r\n"], ids=["lf", "crlf"])
def test_an_answer_that_quotes_a_frame_is_left_alone(gap: str) -> None:
    text = wire.event({"type": "response.output_text.delta", "delta": '"response":{"id":"x"}'}, "x").decode()
    quoted = text.replace("\n\n", gap).encode()
    assert own().rewrite(quoted) == (quoted, b"")


def test_a_bare_failure_gets_the_whole_response() -> None:
    frames = own()
    frames.rewrite(FRAMES[0])
    bare = {"type": "response.failed", "response": {"status": "failed", "error": {"code": "c", "message": "m"}}}
    _, rest = frames.rewrite(wire.event(bare, "response.failed"))
    shown = frame_data(rest)
    assert shown is not None
    assert shown["response"]["id"] == "resp_ours"
    assert shown["response"]["created_at"] == wire.CREATED_S
    assert shown["response"]["error"] == {"code": "c", "message": "m"}


def test_a_failure_of_ours_takes_the_place_and_the_number_of_the_end() -> None:
    frames = own()
    frames.rewrite(b"".join(FRAMES))
    failed, error = frames_of(frames.failing(StoreUnavailable("gone")))
    shown, raised = frame_data(failed), frame_data(error)
    assert shown is not None
    assert raised is not None
    assert (shown["type"], shown["sequence_number"]) == ("response.failed", len(FRAMES) - 1)
    assert shown["response"]["error"] == {"code": "store_unavailable", "message": "gone"}
    assert raised["error"]["code"] == "store_unavailable"
