import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.media.sniff import HEAD_BYTES, media_type, pixels
from tests.serving.media.pictures import MP4, PDF, WAV, gif, jpeg, png, webp

KNOWN = {
    "png": (png(), "image/png"),
    "jpeg": (jpeg(), "image/jpeg"),
    "gif": (gif(), "image/gif"),
    "webp": (webp(), "image/webp"),
    "pdf": (PDF, "application/pdf"),
    "mp4": (MP4, "video/mp4"),
    "webm": (b"\x1a\x45\xdf\xa3\x01", "video/webm"),
    "wav": (WAV, "audio/wav"),
    "ogg": (b"OggS\0", "audio/ogg"),
    "flac": (b"fLaC\0", "audio/flac"),
    "mp3 with tags": (b"ID3\x04", "audio/mpeg"),
    "mp3": (b"\xff\xfb\x90\x64", "audio/mpeg"),
}
UNKNOWN = {
    "empty": b"",
    "html": b"<!DOCTYPE html>",
    "json": b'{"AccessKeyId": "x"}',
    "svg": b"<svg xmlns='http://www.w3.org/2000/svg'>",
    "postscript": b"%!PS-Adobe-3.0",
    "tiff": b"II*\0",
    "heic": b"\0\0\0\x18ftypheic",
    "avi": b"RIFF\0\0\0\0AVI ",
    "utf-16": b"\xff\xfe<\0",
}


@pytest.mark.parametrize(("content", "expected"), KNOWN.values(), ids=KNOWN.keys())
def test_known_types(content: bytes, expected: str) -> None:
    assert media_type(content) == expected


@pytest.mark.parametrize("content", UNKNOWN.values(), ids=UNKNOWN.keys())
def test_everything_else_is_unknown(content: bytes) -> None:
    assert media_type(content) is None


SIZED = {
    "png": png(640, 480),
    "jpeg": jpeg(640, 480),
    "progressive jpeg": jpeg(640, 480, marker=0xC2),
    "jpeg with comments": jpeg(640, 480, comment=3),
    "gif": gif(640, 480),
    "webp": webp(b"VP8X", 640, 480),
    "webp lossless": webp(b"VP8L", 640, 480),
    "webp lossy": webp(b"VP8 ", 640, 480),
}


@pytest.mark.parametrize("content", SIZED.values(), ids=SIZED.keys())
def test_size_of_an_image(content: bytes) -> None:
    assert pixels(content) == 640 * 480


def test_largest_webp() -> None:
    assert pixels(webp(b"VP8X", 1 << 24, 1 << 24)) == 1 << 48


NO_SIZE = {
    "no image": PDF,
    "png cut": png()[:20],
    "png without its header chunk": png().replace(b"IHDR", b"IDAT"),
    "nothing wide": png(0, 9),
    "jpeg without a frame": jpeg()[:8],
    "jpeg with a table for a frame": jpeg(marker=0xC4)[:20],
    "jpeg out of step": b"\xff\xd8\xff\xe0\0\2\0\0\0\0",
    "jpeg with a segment of no length": b"\xff\xd8\xff\xe0\0\0\xff\xc0",
    "webp of another kind": webp(b"VP8X").replace(b"VP8X", b"ALPH"),
}


@pytest.mark.parametrize("content", NO_SIZE.values(), ids=NO_SIZE.keys())
def test_no_size(content: bytes) -> None:
    assert pixels(content) is None


def test_frame_header_beyond_the_head() -> None:
    content = jpeg(4, 4, comment=HEAD_BYTES // 1024 + 1)
    assert pixels(content[:HEAD_BYTES]) is None
    assert pixels(content) == 16


@given(
    st.sampled_from([png(), jpeg(), gif(), webp(), webp(b"VP8L"), webp(b"VP8 "), b""]),
    st.binary(max_size=64),
    st.data(),
)
def test_never_raises(start: bytes, noise: bytes, data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(start)))
    size = pixels(start[:cut] + noise)
    assert size is None or size > 0
