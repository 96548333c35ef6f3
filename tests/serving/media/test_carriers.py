"""Whatever the depth and the API, everything that may carry media is found, with its place."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.errors import MediaRefused
from serving.media.carriers import MEDIA_FIELDS, OPAQUE_FIELDS, Form, carried, may_carry

U = "https://a.example/x"


def user(*parts: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": list(parts)}]}


PLACES: dict[str, tuple[dict[str, Any], str, str, Form]] = {
    "chat image": (
        user({"type": "text", "text": "?"}, {"type": "image_url", "image_url": {"url": U}}),
        "messages[0].content[1].image_url.url",
        "image",
        Form.URL,
    ),
    "chat image, short": (
        user({"type": "image_url", "image_url": U}),
        "messages[0].content[0].image_url",
        "image",
        Form.URL,
    ),
    "chat image without a type": (user({"image_url": U}), "messages[0].content[0].image_url", "image", Form.URL),
    "chat image as a text": (
        user({"type": "text", "image_url": U}),
        "messages[0].content[0].image_url",
        "image",
        Form.URL,
    ),
    "content that is one part": (
        {"messages": [{"role": "user", "content": {"image_url": {"url": U}}}]},
        "messages[0].content.image_url.url",
        "image",
        Form.URL,
    ),
    "chat video": (
        user({"type": "video_url", "video_url": {"url": U}}),
        "messages[0].content[0].video_url.url",
        "video",
        Form.URL,
    ),
    "chat audio": (
        user({"type": "audio_url", "audio_url": {"url": U}}),
        "messages[0].content[0].audio_url.url",
        "audio",
        Form.URL,
    ),
    "chat input audio": (
        user({"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}),
        "messages[0].content[0].input_audio.data",
        "audio",
        Form.BASE64,
    ),
    "input audio as a URL": (user({"input_audio": U}), "messages[0].content[0].input_audio", "audio", Form.URL),
    "chat file": (
        user({"type": "file", "file": {"file_data": "data:application/pdf;base64,AAAA"}}),
        "messages[0].content[0].file.file_data",
        "file",
        Form.URL,
    ),
    "chat file in base64": (
        user({"type": "file", "file": {"file_data": "AAAA"}}),
        "messages[0].content[0].file.file_data",
        "file",
        Form.BASE64,
    ),
    "file data that is a URL": (
        user({"file": {"file_data": U}}),
        "messages[0].content[0].file.file_data",
        "file",
        Form.URL,
    ),
    "system": ({"system": [{"type": "image_url", "image_url": U}]}, "system[0].image_url", "image", Form.URL),
    "responses image": (
        {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": U}]}]},
        "input[0].content[0].image_url",
        "image",
        Form.URL,
    ),
    "responses file": (
        {"input": [{"role": "user", "content": [{"type": "input_file", "file_url": U}]}]},
        "input[0].content[0].file_url",
        "file",
        Form.FILE_URL,
    ),
    "responses tool output": (
        {"input": [{"type": "function_call_output", "output": [{"type": "input_image", "image_url": U}]}]},
        "input[0].output[0].image_url",
        "image",
        Form.URL,
    ),
    "responses screenshot": (
        {"input": [{"type": "computer_call_output", "output": {"type": "computer_screenshot", "image_url": U}}]},
        "input[0].output.image_url",
        "image",
        Form.URL,
    ),
    "responses prompt variable": (
        {"prompt": {"id": "p", "variables": {"photo": {"type": "input_image", "image_url": U}}}},
        "prompt.variables.photo.image_url",
        "image",
        Form.URL,
    ),
    "messages image": (
        user({"type": "image", "source": {"type": "url", "url": U}}),
        "messages[0].content[0].source.url",
        "image",
        Form.SOURCE,
    ),
    "messages image under another type": (
        user({"type": "image", "source": {"type": "base64", "url": U}}),
        "messages[0].content[0].source.url",
        "image",
        Form.SOURCE,
    ),
    "messages base64": (
        user({"type": "image", "source": {"type": "base64", "data": "AAAA"}}),
        "messages[0].content[0].source.data",
        "image",
        Form.BASE64,
    ),
    "messages document": (
        user({"type": "document", "source": {"type": "url", "url": U}}),
        "messages[0].content[0].source.url",
        "file",
        Form.SOURCE,
    ),
    "messages document of blocks": (
        user({"type": "document", "source": {"type": "content", "content": [{"type": "image", "source": {"url": U}}]}}),
        "messages[0].content[0].source.content[0].source.url",
        "image",
        Form.SOURCE,
    ),
    "messages tool result": (
        user({"type": "tool_result", "content": [{"type": "image", "source": {"type": "url", "url": U}}]}),
        "messages[0].content[0].content[0].source.url",
        "image",
        Form.SOURCE,
    ),
    "embeddings of messages": (
        user({"type": "image_url", "image_url": {"url": U}}),
        "messages[0].content[0].image_url.url",
        "image",
        Form.URL,
    ),
    "rerank document": (
        {"documents": [{"content": [{"type": "image_url", "image_url": {"url": U}}]}]},
        "documents[0].content[0].image_url.url",
        "image",
        Form.URL,
    ),
    "score": (
        {"data_1": {"content": [{"image_url": {"url": U}}]}},
        "data_1.content[0].image_url.url",
        "image",
        Form.URL,
    ),
}


@pytest.mark.parametrize(("body", "param", "kind", "form"), PLACES.values(), ids=PLACES.keys())
def test_found_with_its_place(body: dict[str, Any], param: str, kind: str, form: Form) -> None:
    (one,) = carried(body)
    assert (one.param, one.kind, one.form) == (param, kind, form)
    assert may_carry(json.dumps(body).encode())
    holder: Any = body
    for step in one.place:
        holder = holder[step]
    assert holder == one.text


NOTHING: dict[str, dict[str, Any]] = {
    "text": {"messages": [{"role": "user", "content": "see https://a.example/x.png"}], "temperature": 1},
    "text parts": user({"type": "text", "text": "https://a.example/x.png"}),
    "token ids": {"input": [[1, 2], [3]]},
    "tool with such a parameter": {"tools": [{"function": {"parameters": {"image_url": {"url": U}}}}]},
    "schema": {"response_format": {"json_schema": {"schema": {"examples": [{"image_url": U}]}}}},
    "metadata": {"metadata": {"source": {"url": U}}},
    "tool use": user({"type": "tool_use", "id": "t", "name": "n", "input": {"image_url": U}}),
    "citation": {
        "input": [{"content": [{"type": "output_text", "annotations": [{"type": "url_citation", "url": U}]}]}]
    },
    "search result": user({"type": "search_result", "source": U, "content": [{"type": "text", "text": "x"}]}),
    "plain text document": user(
        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "x"}}
    ),
    "stored file": user({"type": "file", "file": {"file_id": "file-1"}}),
    "no image": {"input": [{"content": [{"type": "input_image", "image_url": None, "file_id": "file-1"}]}]},
    "no url": user({"type": "image_url", "image_url": {"url": None, "detail": "low"}}),
}


@pytest.mark.parametrize("body", NOTHING.values(), ids=NOTHING.keys())
def test_nothing_to_find(body: dict[str, Any]) -> None:
    assert list(carried(body)) == []


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "tensor": (user({"type": "image_embeds", "image_embeds": "AAAA"}), "messages[0].content[0].type"),
    "tensor without a type": (user({"audio_embeds": {"a": "AAAA"}}), "messages[0].content[0].audio_embeds"),
    "prompt tensor": (user({"type": "prompt_embeds", "data": "AAAA"}), "messages[0].content[0].type"),
    "pickled image": (user({"image_pil": "x"}), "messages[0].content[0].image_pil"),
    "other tenant's cache": (user({"image_url": U, "uuid": "sku-1"}), "messages[0].content[0].uuid"),
    "url a number": (user({"image_url": {"url": 7}}), "messages[0].content[0].image_url.url"),
    "urls a list": (user({"image_url": [U]}), "messages[0].content[0].image_url"),
    "data an object": (user({"source": {"data": {"url": U}}}), "messages[0].content[0].source.data"),
}


@pytest.mark.parametrize(("body", "param"), REFUSED.values(), ids=REFUSED.keys())
def test_refused_where_it_cannot_be_checked(body: dict[str, Any], param: str) -> None:
    with pytest.raises(MediaRefused) as caught:
        list(carried(body))
    assert caught.value.param == param
    assert caught.value.message.startswith(param)


def test_cached_media_by_uuid_alone() -> None:
    with pytest.raises(MediaRefused, match="uuid"):
        list(carried(user({"type": "image_url", "image_url": None, "uuid": "sku-1"})))


def test_a_body_that_calls_itself_a_tool_use_hides_nothing() -> None:
    body = {"type": "tool_use", "input": [{"role": "user", "content": [{"type": "input_image", "image_url": U}]}]}
    assert [one.text for one in carried(body)] == [U]


@pytest.mark.parametrize("raw", [b'{"image\\u005furl": "x"}', b'{"\\u0073ource": {"url": "x"}}'])
def test_an_escaped_name_is_no_hiding_place(raw: bytes) -> None:
    assert may_carry(raw)


def test_text_is_no_reason_to_look() -> None:
    assert not may_carry('{"messages": [{"role": "user", "content": "the source of https://a.example, é"}]}'.encode())


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["content", "type", "input", "output", "x", "url", "data"]), inner, max_size=4
        )
    ),
    max_leaves=12,
)


@given(JSON, st.sampled_from(["image_url", "video_url", "audio_url", "file_url"]), st.data())
def test_found_wherever_it_is_put(body: Any, name: str, data: st.DataObject) -> None:
    at: Any = {name: U}
    for step in data.draw(st.lists(st.sampled_from(["content", "output", "source", 0]), max_size=6)):
        at = [body, at] if step == 0 else {step: at, "x": body}
    found = [one.text for one in carried({"messages": at})]
    assert U in found


@given(st.dictionaries(st.sampled_from([*MEDIA_FIELDS, *OPAQUE_FIELDS, "messages", "uuid"]), JSON))
def test_any_body_is_walked_or_refused_by_name(body: dict[str, Any]) -> None:
    found, refusal = [], None
    try:
        found = list(carried(body))
    except MediaRefused as error:
        refusal = error
    assert all(isinstance(one.text, str) for one in found)
    assert refusal is None or refusal.param
