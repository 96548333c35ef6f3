import base64

import pytest

from serving.errors import MediaRefused
from serving.media.carriers import Carried, Form, Kind
from serving.media.content import check_inline
from serving.media.limits import Allowance, MediaLimits
from tests.serving.media.pictures import MP4, PDF, WAV, data_url, gif, jpeg, png, webp

LIMITS = MediaLimits(bytes=100_000, pixels=10_000, urls=1, timeout_s=1, fetches=1)


def url(text: str, kind: Kind = "image", field: str = "url") -> Carried:
    return Carried(("messages", 0, "content", 0, "image_url", field), kind, Form.URL, text)


def check(one: Carried, allowance: Allowance | None = None) -> None:
    check_inline(one, LIMITS, allowance or Allowance(LIMITS.bytes))


GOOD: dict[str, Carried] = {
    "png": url(data_url(png())),
    "jpeg declared as jpg": url(data_url(jpeg(), "image/jpg")),
    "gif declared as png": url(data_url(gif())),
    "webp": url(data_url(webp())),
    "upper case": url(data_url(png()).replace("data:image/png;base64", "DATA:IMAGE/PNG;BASE64")),
    "with parameters": url(data_url(png(), "image/png;name=x.png")),
    "without a type": url(data_url(png(), "")),
    "jpeg whose frame is far in": url(data_url(jpeg(comment=40), "image/jpeg")),
    "mp4": url(data_url(MP4, "video/mp4"), "video"),
    "frames": url(data_url(jpeg(), "video/jpeg") + "," + base64.b64encode(jpeg()).decode(), "video"),
    "wav": url(data_url(WAV, "audio/wav"), "audio"),
    "pdf": url(data_url(PDF, "application/pdf"), "file"),
    "file of any type": url(data_url(b"hello", "text/plain"), "file", "file_data"),
    "file without a scheme": Carried(("file_data",), "file", Form.BASE64, "aGVsbG8="),
    "raw sound": Carried(("input_audio", "data"), "audio", Form.BASE64, "AAAA"),
    "source": Carried(("source", "data"), "image", Form.BASE64, base64.b64encode(png()).decode()),
}


@pytest.mark.parametrize("one", GOOD.values(), ids=GOOD.keys())
def test_taken(one: Carried) -> None:
    check(one)


BAD: dict[str, tuple[Carried, str]] = {
    "not base64 at all": (url("data:image/svg+xml,<svg/>"), "of the form"),
    "base64 is not last": (url("data:image/png;base64;x=1,AAAA"), "of the form"),
    "no comma": (url("data:image/png;base64"), "not valid base64"),
    "empty": (url("data:image/png;base64,"), "not valid base64"),
    "only padding": (url("data:image/png;base64,===="), "not valid base64"),
    "unpadded": (url(data_url(png()).rstrip("=")[:-1]), "not valid base64"),
    "too much padding": (url("data:image/png;base64,A==="), "not valid base64"),
    "line breaks": (url("data:image/png;base64,AAAA\nAAA"), "not valid base64"),
    "url-safe": (url("data:image/png;base64,AA_-"), "not valid base64"),
    "percent-encoded": (url("data:image/png;base64,AAA%3D"), "not valid base64"),
    "surrogate": (url("data:image/png;base64,AAA\udc80"), "not valid base64"),
    "html": (url(data_url(b"<html>")), "is not an image that is taken here; send one of image/gif"),
    "svg": (url(data_url(b"<svg>", "image/svg+xml")), "is not an image"),
    "pdf as image": (url(data_url(PDF)), "is not an image"),
    "image as video": (url(data_url(png(), "video/mp4"), "video"), "is not a video"),
    "html among frames": (url(data_url(jpeg(), "video/jpeg") + ",AAAA", "video"), "is not a video"),
    "text as pdf": (url(data_url(b"hello"), "file"), "is not a file"),
    "no size": (url(data_url(png()[:18])), "gives no size"),
    "too many pixels": (url(data_url(png(101, 100))), "10000 pixels (setting max_image_pixels)"),
    "source that is no image": (Carried(("source", "data"), "image", Form.BASE64, "AAAA"), "is not an image"),
    "file that is no base64": (Carried(("file_data",), "file", Form.BASE64, "a b="), "not valid base64"),
}


@pytest.mark.parametrize(("one", "says"), BAD.values(), ids=BAD.keys())
def test_refused_naming_field_and_fix(one: Carried, says: str) -> None:
    with pytest.raises(MediaRefused) as caught:
        check(one)
    assert caught.value.param == one.param
    assert caught.value.message.startswith(f"{one.param}: ")
    assert says in caught.value.message


def test_bytes_are_counted_over_the_whole_request() -> None:
    allowance = Allowance(100)
    check(url(data_url(png(padding=20))), allowance)
    with pytest.raises(MediaRefused, match=r"over 100 bytes \(setting max_media_bytes\)"):
        check(url(data_url(png(padding=20))), allowance)
