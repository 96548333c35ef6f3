"""What a request asks of the store is read strictly, and lists come in OpenAI's pages."""

from typing import Any

import pytest
from openai.types.responses import Response

from serving.errors import BadRequest
from serving.responses.objects import page_of, queued, terms_of

ITEMS = [{"id": f"item_{number}"} for number in range(5)]


def test_storing_is_the_default() -> None:
    terms = terms_of({}, stream=False)
    assert (terms.store, terms.previous_id, terms.background, terms.stateful) == (True, None, False, True)
    assert terms.id.startswith("resp_")
    assert terms_of({}, stream=False).id != terms.id


@pytest.mark.parametrize(
    ("body", "stateful"),
    [({"store": False}, False), ({"store": None}, True), ({"store": False, "previous_response_id": "resp_1"}, True)],
)
def test_only_who_stores_or_continues_needs_the_store(body: dict[str, Any], stateful: bool) -> None:
    assert terms_of(body, stream=True).stateful is stateful


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"store": "yes"}, "store"),
        ({"background": 1}, "background"),
        ({"previous_response_id": 7}, "previous_response_id"),
        ({"previous_response_id": ""}, "previous_response_id"),
        ({"conversation": "conv_1"}, "conversation"),
        ({"background": True, "store": False}, "background"),
        ({"background": True, "stream": True}, "background"),
    ],
)
def test_what_contradicts_itself_or_is_not_offered_is_refused(body: dict[str, Any], param: str) -> None:
    with pytest.raises(BadRequest, match=f"^{param}: ") as refused:
        terms_of(body, stream=body.get("stream", False))
    assert refused.value.param == param


def test_a_queued_response_is_whole_to_the_sdk() -> None:
    body = {"model": "auto", "background": True, "metadata": {"k": "v"}, "instructions": "be brief", "tools": None}
    response = Response.model_validate(queued(body, terms_of(body, stream=False), now_s=12.5))
    assert (response.status, response.background, response.output, response.error) == ("queued", True, [], None)
    assert (response.model, response.metadata, response.instructions) == ("auto", {"k": "v"}, "be brief")
    assert (response.tools, response.created_at) == ([], 12)


@pytest.mark.parametrize(
    ("ascending", "after", "limit", "ids", "more"),
    [
        (True, None, 2, ["item_0", "item_1"], True),
        (True, "item_1", 2, ["item_2", "item_3"], True),
        (True, "item_3", 2, ["item_4"], False),
        (True, "item_4", 2, [], False),
        (False, None, 5, ["item_4", "item_3", "item_2", "item_1", "item_0"], False),
        (False, "item_3", 2, ["item_2", "item_1"], True),
    ],
)
def test_pages(ascending: bool, after: str | None, limit: int, ids: list[str], more: bool) -> None:
    page = page_of(ITEMS, limit=limit, ascending=ascending, after=after)
    assert [item["id"] for item in page["data"]] == ids
    assert (page["object"], page["has_more"]) == ("list", more)
    assert (page["first_id"], page["last_id"]) == ((ids[0], ids[-1]) if ids else (None, None))


def test_a_page_after_nothing_known_is_refused() -> None:
    with pytest.raises(BadRequest, match="after: "):
        page_of(ITEMS, limit=2, ascending=True, after="item_9")
