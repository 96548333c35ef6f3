"""Where a frame begins and ends, and what is in it."""

import pytest

from serving.wire.frames import field, frame_data, frame_end, frame_start


@pytest.mark.parametrize(
    ("frame", "name", "value"),
    [
        (b"data: x\n\n", b"data", b"x"),
        (b"data:x\n\n", b"data", b"x"),
        (b"data:  x\n\n", b"data", b" x"),
        (b"data: x\r\n\r\n", b"data", b"x"),
        (b"data: x\ndata: y\n\n", b"data", b"x\ny"),
        (b"data: x\rdata: y\n\n", b"data", b"x\ny"),
        (b"event: e\ndata: x\n\n", b"event", b"e"),
        (b"event: data: e\n\n", b"data", None),
        (b"database: x\n\n", b"data", None),
        (b": data\n\n", b"data", None),
    ],
)
def test_a_field_is_read_as_clients_read_it(frame: bytes, name: bytes, value: bytes | None) -> None:
    assert field(frame, name) == value


@pytest.mark.parametrize("gap", [b"\n\n", b"\r\n\r\n"])
def test_a_frame_is_found_around_a_place(gap: bytes) -> None:
    frames = [b"data: one" + gap, b"event: e\ndata: two" + gap, b"data: three" + gap]
    whole = b"".join(frames)
    place = whole.index(b"two")
    assert whole[frame_start(whole, place) : frame_end(whole, place)] == frames[1]
    assert frame_start(whole, whole.index(b"one")) == 0
    assert frame_end(whole[:-1], whole.index(b"three")) == -1


@pytest.mark.parametrize("data", [b"data: {", b'data: "text"', b": x", b"data: \xff", b"data: " + b"[" * 100_000])
def test_what_is_no_object_is_none(data: bytes) -> None:
    assert frame_data(data + b"\n\n") is None
