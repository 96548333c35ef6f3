"""Every place of a request body that can carry media, or the URL of some, towards a model: found, never judged.

Pure. Looks at every depth and goes by field names, not by part types: engines take `image_url` without a type, too.
Left out is what is never shown to a model as media: tool definitions, schemas, metadata, arguments of tool calls.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Literal

from serving.errors import MediaRefused
from serving.wire.withheld import DROPPED

Kind = Literal["image", "video", "audio", "file"]
Place = tuple[str | int, ...]
"""Keys and indices from the body to a value."""

MEDIA_FIELDS: Mapping[str, Kind] = {
    "image_url": "image",
    "video_url": "video",
    "audio_url": "audio",
    "file_url": "file",
    "file_data": "file",
    "input_audio": "audio",
    "source": "image",
}
"""Fields that carry media, by what they carry. `source`: Anthropic's; of a `document` it carries a file."""

REFUSED_FIELDS = frozenset({"image_embeds", "audio_embeds", "video_embeds", "prompt_embeds", "image_pil"})
"""Tensors and pickled objects: an engine would unpack them. No API but vLLM's own knows them."""

REFUSED_TYPES = tuple(sorted(REFUSED_FIELDS))
"""The same, as types of content parts."""

OPAQUE_FIELDS = frozenset({"tools", "functions", "tool_choice", "response_format", "structured_outputs", "metadata"})
"""Top-level fields that may name an `image_url` without carrying one."""


class Form(Enum):
    """How a place holds its media, and so how inlined media is written back."""

    URL = "url"
    """A URL, replaced where it stands."""
    FILE_URL = "file_url"
    """`file_url` of the Responses API: replaced by `file_data` beside it."""
    SOURCE = "source"
    """An Anthropic source: replaced by one of type `base64`."""
    BASE64 = "base64"
    """Base64 without a scheme."""


@dataclass(frozen=True, slots=True)
class Carried:
    """One piece of media. `place`: of the text itself; `holder`: of the object that holds it."""

    place: Place
    kind: Kind
    form: Form
    text: str

    @property
    def holder(self) -> Place:
        """Where the object stands whose field this is."""
        return self.place[:-1]

    @property
    def param(self) -> str:
        """The place as error messages name it, as in `messages[0].content[1].image_url.url`."""
        return written(self.place)


def may_carry(raw: bytes) -> bool:
    """Whether a JSON text can carry media at all; cheap, and never wrongly False.

    A text with none of these carries nothing; the last is how JSON may spell the others.
    """
    return (
        b"_url" in raw
        or b'"source"' in raw
        or b"file_data" in raw
        or b"input_audio" in raw
        or b"_embeds" in raw
        or b"image_pil" in raw
        or b"\\u" in raw
    )


def carried(body: Mapping[str, Any]) -> Iterator[Carried]:
    """All media in `body`, in order, less what goes no further anyway.

    Raises `MediaRefused` for a field in which no media can be checked.
    """
    for name, value in body.items():
        if name not in OPAQUE_FIELDS and name not in DROPPED:
            yield from _in_field(body, name, value, ())


def written(place: Place) -> str:
    """`place` in words, as in `messages[0].content`."""
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in place)
    return text.removeprefix(".")


def _below(value: Any, place: Place) -> Iterator[Carried]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _in_field(value, name, inner, place)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            if type(inner) is dict or type(inner) is list:
                yield from _below(inner, (*place, index))


def _in_field(holder: Mapping[str, Any], name: str, value: Any, place: Place) -> Iterator[Carried]:
    if place and name == "input" and holder.get("type") == "tool_use":  # a part's, never a body's own `input`
        return
    here = (*place, name)
    kind = MEDIA_FIELDS.get(name)
    if kind is not None or name in REFUSED_FIELDS:
        _check_uuid(holder, place)
    if value is None:
        return
    if name in REFUSED_FIELDS or (name == "type" and value in REFUSED_TYPES):
        raise MediaRefused(f"{written(here)}: not accepted; send images as 'data:' URLs", param=written(here))
    if kind is not None:
        yield from _of_carrier(name, "file" if holder.get("type") == "document" else kind, value, here)
    elif isinstance(value, dict | list):
        yield from _below(value, here)


def _check_uuid(holder: Mapping[str, Any], place: Place) -> None:
    """vLLM keeps media by `uuid` in a cache that all tenants share."""
    if holder.get("uuid") is not None:
        param = written((*place, "uuid"))
        raise MediaRefused(f"{param}: not accepted beside media; leave it out", param=param)


def _of_carrier(name: str, kind: Kind, value: Any, here: Place) -> Iterator[Carried]:
    if name == "source":
        yield from _of_source(kind, value, here)
    elif isinstance(value, str):
        form = Form.FILE_URL if name == "file_url" else Form.BASE64 if _bare(name, value) else Form.URL
        yield Carried(here, kind, form, value)
    elif isinstance(value, dict):
        inner = "data" if name == "input_audio" else "url"
        if inner in value:
            form = Form.BASE64 if name == "input_audio" else Form.URL
            yield from _text(value[inner], (*here, inner), kind, form)
        yield from _below({key: one for key, one in value.items() if key != inner}, here)
    else:
        raise _no_text(here)


def _of_source(kind: Kind, value: Any, here: Place) -> Iterator[Carried]:
    if not isinstance(value, dict):
        yield from _below(value, here)
        return
    if "url" in value:
        yield from _text(value["url"], (*here, "url"), kind, Form.SOURCE)
    if "data" in value and value.get("type") != "text":
        yield from _text(value["data"], (*here, "data"), kind, Form.BASE64)
    yield from _below({key: one for key, one in value.items() if key not in ("url", "data")}, here)


def _text(value: Any, here: Place, kind: Kind, form: Form) -> Iterator[Carried]:
    if isinstance(value, str):
        yield Carried(here, kind, form, value)
    elif value is not None:
        raise _no_text(here)


def _bare(name: str, value: str) -> bool:
    """`file_data` is a `data:` URL or mere base64."""
    return name == "file_data" and ":" not in value


def _no_text(here: Place) -> MediaRefused:
    return MediaRefused(f"{written(here)}: must be a string; send a 'data:' URL", param=written(here))
