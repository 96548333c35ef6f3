"""What a piece of media is, by its first bytes: its type, and the size of an image. Knows no names and no URLs."""

import struct
from collections.abc import Mapping

from serving.media.carriers import Kind

HEAD_BYTES = 16 * 1024
"""How much of a piece tells its type, and nearly always its size."""

ALLOWED: Mapping[Kind, frozenset[str]] = {
    "image": frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"}),
    "video": frozenset({"video/mp4", "video/webm"}),
    "audio": frozenset({"audio/wav", "audio/mpeg", "audio/ogg", "audio/flac", "video/mp4", "video/webm"}),
    "file": frozenset({"application/pdf", "image/png", "image/jpeg", "image/gif", "image/webp"}),
}
"""Media types a model may be shown, by what they are sent as."""

_MAGIC = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"%PDF-", "application/pdf"),
    (b"\x1a\x45\xdf\xa3", "video/webm"),
    (b"OggS", "audio/ogg"),
    (b"fLaC", "audio/flac"),
    (b"ID3", "audio/mpeg"),
)
_RIFF = {b"WEBP": "image/webp", b"WAVE": "audio/wav"}
_MP4_BRANDS = frozenset(
    (b"isom", b"iso2", b"iso4", b"iso5", b"iso6", b"mp41", b"mp42", b"avc1", b"dash", b"M4V ", b"M4A ", b"qt  ")
)


def media_type(head: bytes) -> str | None:
    """The media type of a piece that starts with `head`; None for one nobody here knows."""
    for magic, name in _MAGIC:
        if head.startswith(magic):
            return name
    if head[:4] == b"RIFF":
        return _RIFF.get(head[8:12])
    if head[4:8] == b"ftyp" and head[8:12] in _MP4_BRANDS:
        return "video/mp4"
    if len(head) > 1 and head[0] == 0xFF and head[1] & 0xE6 == 0xE2:
        return "audio/mpeg"
    return None


def pixels(head: bytes) -> int | None:
    """Width times height of an image, read from its header, never by decoding it; None when `head` does not say."""
    readers = {"image/png": _png, "image/gif": _gif, "image/webp": _webp, "image/jpeg": _jpeg}
    try:
        width, height = readers[media_type(head) or ""](head)
    except (KeyError, struct.error):
        return None
    return width * height if width and height else None


def _png(head: bytes) -> tuple[int, int]:
    width, height = struct.unpack_from(">II", head, 16)
    return (width, height) if head[12:16] == b"IHDR" else (0, 0)


def _gif(head: bytes) -> tuple[int, int]:
    width, height = struct.unpack_from("<HH", head, 6)
    return width, height


def _webp(head: bytes) -> tuple[int, int]:
    chunk = head[12:16]
    if chunk == b"VP8X":
        low, high = struct.unpack_from("<IH", head, 24)
        return (low & 0xFFFFFF) + 1, ((low >> 24) | (high << 8)) + 1
    if chunk == b"VP8L":
        (bits,) = struct.unpack_from("<I", head, 21)
        return (bits & 0x3FFF) + 1, ((bits >> 14) & 0x3FFF) + 1
    if chunk == b"VP8 ":
        width, height = struct.unpack_from("<HH", head, 26)
        return width & 0x3FFF, height & 0x3FFF
    return 0, 0


def _jpeg(head: bytes) -> tuple[int, int]:
    """From segment to segment to the frame header, which is any of C0…CF but the tables C4, C8 and CC."""
    at = 2
    while True:
        mark, marker = struct.unpack_from(">BB", head, at)
        if mark != 0xFF:
            return 0, 0
        if marker == 0xFF:
            at += 1
            continue
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack_from(">HH", head, at + 5)
            return width, height
        (length,) = struct.unpack_from(">H", head, at + 2)
        if length < 2:
            return 0, 0
        at += 2 + length
