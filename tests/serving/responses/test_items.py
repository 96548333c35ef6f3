"""Input items are kept as they were said, and told to a model in the form that every upstream reads."""

from typing import Any

import pytest

from serving.errors import BadRequest
from serving.responses.items import continued, numbered

ASKED = {"type": "message", "role": "user", "content": "2+2?"}
SAID = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "status": "completed",
    "content": [{"type": "output_text", "text": "4", "annotations": [], "logprobs": None}],
    "phase": None,
}
THOUGHT = {
    "id": "rs_1",
    "type": "reasoning",
    "status": None,
    "summary": [],
    "content": [{"type": "reasoning_text", "text": "add"}],
    "encrypted_content": "secret",
}
CALL = {
    "id": "fc_1",
    "type": "function_call",
    "status": "completed",
    "call_id": "call_1",
    "name": "add",
    "arguments": "{}",
}
RESULT = {"id": "fco_1", "type": "function_call_output", "status": "completed", "call_id": "call_1", "output": "4"}


def test_a_string_becomes_a_user_message_with_an_id() -> None:
    (item,) = numbered("2+2?")
    assert str(item["id"]).startswith("msg_")
    assert {key: value for key, value in item.items() if key != "id"} == {
        "type": "message",
        "role": "user",
        "status": "completed",
        "content": [{"type": "input_text", "text": "2+2?"}],
    }


@pytest.mark.parametrize(
    ("item", "prefix"),
    [
        ({"role": "user", "content": "x"}, "msg_"),
        ({"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}, "fc_"),
        ({"type": "function_call_output", "call_id": "c", "output": "1"}, "fco_"),
        ({"type": "reasoning", "summary": []}, "rs_"),
        ({"type": "unheard_of"}, "item_"),
    ],
)
def test_every_item_gets_an_id_of_its_kind(item: dict[str, Any], prefix: str) -> None:
    first, second = numbered([item, item])
    assert str(first["id"]).startswith(prefix)
    assert first["id"] != second["id"]


def test_a_given_id_and_unknown_fields_are_kept() -> None:
    item = {"id": "mine", "type": "unheard_of", "extra": [1]}
    assert numbered([item]) == [item]


def test_an_assistant_string_is_listed_as_output_text() -> None:
    (item,) = numbered([{"role": "assistant", "content": "4"}])
    assert item["content"] == [{"type": "output_text", "text": "4", "annotations": []}]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["text"], r"input\[0\]: must be an object"),
        ([{"type": "item_reference", "id": "msg_1"}], "item_reference is not supported"),
    ],
)
def test_what_cannot_be_kept_is_refused_by_name(given: list[Any], said: str) -> None:
    with pytest.raises(BadRequest, match=said):
        numbered(given)


def test_a_conversation_is_told_in_plain_text_without_ids() -> None:
    assert continued([*numbered("2+2?"), SAID], "and 3+3?") == [
        ASKED,
        {"type": "message", "role": "assistant", "content": "4"},
        {"type": "message", "role": "user", "content": "and 3+3?"},
    ]


def test_all_parts_of_an_answer_are_told_refusals_too() -> None:
    parts = [{"type": "output_text", "text": "a"}, {"type": "refusal", "refusal": "no"}, "odd", {"type": "other"}]
    told = continued([{**SAID, "content": parts}], "go on")[0]
    assert told["content"] == "ano"


def test_images_are_told_as_they_came() -> None:
    parts = [{"type": "input_text", "text": "what?"}, {"type": "input_image", "image_url": "data:image/png;base64,AA"}]
    told = continued([{**ASKED, "id": "msg_0", "content": parts}], "well?")[0]
    assert told == {"type": "message", "role": "user", "content": parts}


def test_a_tool_turn_that_goes_on_keeps_its_reasoning_but_nothing_encrypted() -> None:
    told = continued([*numbered("2+2?"), THOUGHT, CALL], [RESULT])
    assert told == [
        ASKED,
        {"type": "reasoning", "summary": [], "content": THOUGHT["content"]},
        {"type": "function_call", "call_id": "call_1", "name": "add", "arguments": "{}"},
        RESULT,
    ]


def test_reasoning_of_a_finished_turn_is_left_out() -> None:
    told = continued([*numbered("2+2?"), THOUGHT, SAID], "and 3+3?")
    assert [item["type"] for item in told] == ["message", "message", "message"]


def test_reasoning_that_only_its_author_can_read_is_left_out() -> None:
    told = continued([*numbered("2+2?"), {**THOUGHT, "content": None}, CALL], [RESULT])
    assert [item["type"] for item in told] == ["message", "function_call", "function_call_output"]


def test_what_a_hosted_api_did_by_itself_is_left_out() -> None:
    search = {"id": "ws_1", "type": "web_search_call", "status": "completed"}
    assert [item["type"] for item in continued([*numbered("news?"), search, SAID], "more")] == ["message"] * 3


def test_unknown_kinds_are_told_as_they_came() -> None:
    assert continued([{"id": "x", "type": "unheard_of", "data": 1}], "go on")[0] == {"type": "unheard_of", "data": 1}
