"""Whether bytes are media that a model may be shown; inline ones are taken out of their `data:` URL first.

Knows no network. Nothing is decoded as an image: types and sizes come from headers. Raises `MediaRefused`.
"""

import binascii
import string
from collections.abc import Callable

from serving.errors import MediaRefused
from serving.media.carriers import Carried, Form
from serving.media.limits import Allowance, MediaLimits
from serving.media.sniff import ALLOWED, HEAD_BYTES, media_type, pixels

_BASE64 = (string.ascii_letters + string.digits + "+/").encode()
_HEAD_CHARS = HEAD_BYTES * 4 // 3 // 4 * 4
_MAX_SCHEME_CHARS = 256
_FRAMES = "video/jpeg"
"""Not a container but JPEG images behind one another, separated by commas: what vLLM's client side sends."""


def check_inline(one: Carried, limits: MediaLimits, allowance: Allowance) -> None:
    """Check a `data:` URL, or base64 that stands alone."""
    if one.form is Form.BASE64:
        _check_base64(one, one.text, limits, allowance, sniffed="source" in one.place[-2:-1])
        return
    declared, _, encoded = one.text.partition(",")
    if not declared[:_MAX_SCHEME_CHARS].lower().endswith(";base64"):
        raise refused(one, "a 'data:' URL must be of the form data:<media type>;base64,<data>")
    named = declared[5:].split(";")[0].lower()
    frames = encoded.split(",") if named == _FRAMES and one.kind == "video" else [encoded]
    for frame in frames:
        _check_base64(one, frame, limits, allowance, sniffed=one.place[-1] != "file_data")


def check_content(one: Carried, head: bytes, whole: Callable[[], bytes], limits: MediaLimits) -> str:
    """The media type of a piece that begins with `head`, if it may be shown; `whole` gives all of it."""
    found = media_type(head)
    frame = one.kind == "video" and found == "image/jpeg"
    if found is None or (found not in ALLOWED[one.kind] and not frame):
        known = ", ".join(sorted(ALLOWED[one.kind]))
        raise refused(one, f"its content is not {_a(one.kind)} that is taken here; send one of {known}")
    if found.startswith("image/"):
        size = pixels(head) or pixels(whole())
        if size is None:
            raise refused(one, "the header of the image gives no size; send it encoded anew")
        if size > limits.pixels:
            raise refused(one, f"the image has over {limits.pixels} pixels (setting max_image_pixels); make it smaller")
    return found


def refused(one: Carried, reason: str) -> MediaRefused:
    """The error that names the field and says what to do."""
    return MediaRefused(f"{one.param}: {reason}", param=one.param)


def _check_base64(one: Carried, text: str, limits: MediaLimits, allowance: Allowance, *, sniffed: bool) -> None:
    encoded = text.encode("utf-8", "replace")
    bare = encoded.rstrip(b"=")
    if not bare or len(encoded) % 4 or len(encoded) - len(bare) > 2 or bare.translate(None, _BASE64):
        raise refused(one, "not valid base64; use the standard alphabet, padded, without line breaks")
    allowance.take(len(bare) * 3 // 4, one)
    if sniffed:
        head = binascii.a2b_base64(encoded[:_HEAD_CHARS])
        check_content(one, head, lambda: binascii.a2b_base64(encoded), limits)


def _a(kind: str) -> str:
    return f"an {kind}" if kind[0] in "ai" else f"a {kind}"
