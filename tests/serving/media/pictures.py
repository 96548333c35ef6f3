"""The smallest headers that say what a picture is and how large: enough for whoever does not decode them."""

import base64
import struct


def png(width: int = 2, height: int = 3, padding: int = 0) -> bytes:
    """A PNG that begins well; `padding` bytes follow the header."""
    return (
        b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, b"IHDR", width, height) + b"\x08\x02" + b"\0" * (7 + padding)
    )


def jpeg(width: int = 2, height: int = 3, *, comment: int = 0, marker: int = 0xC0) -> bytes:
    """A JPEG with `comment` KiB of comments before its frame header."""
    comments = (b"\xff\xfe" + struct.pack(">H", 1024) + b"c" * 1022) * comment
    frame = bytes([0xFF, marker]) + struct.pack(">HBHH", 11, 8, height, width) + b"\x01" * 4
    return b"\xff\xd8\xff\xe0" + struct.pack(">H", 4) + b"JF" + comments + frame + b"\xff\xd9"


def gif(width: int = 2, height: int = 3) -> bytes:
    """A GIF."""
    return b"GIF89a" + struct.pack("<HH", width, height) + b"\0\0\0;"


def webp(kind: bytes = b"VP8X", width: int = 2, height: int = 3) -> bytes:
    """A WebP of one of its three kinds."""
    if kind == b"VP8X":
        body = b"\0" * 4 + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    elif kind == b"VP8L":
        body = b"\x2f" + struct.pack("<I", (width - 1) | (height - 1) << 14) + b"\0" * 6
    else:
        body = b"\0\0\0\x9d\x01\x2a" + struct.pack("<HH", width, height)
    return b"RIFF" + struct.pack("<I", 12 + len(body)) + b"WEBP" + kind + struct.pack("<I", len(body)) + body


PDF = b"%PDF-1.7\n%%EOF"
MP4 = b"\0\0\0\x18ftypisom\0\0\x02\0isomiso2"
WAV = b"RIFF\x24\0\0\0WAVEfmt "


def data_url(content: bytes, media_type: str = "image/png") -> str:
    """`content` as a `data:` URL."""
    return f"data:{media_type};base64,{base64.b64encode(content).decode()}"
