"""Token counts: taken over as reported where they can be believed, guessed where there are none."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.record import Usage
from serving.wire.usage import estimate, find_usage, merge_usage


@pytest.mark.parametrize(
    ("reported", "usage"),
    [
        ({"prompt_tokens": 5, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 4}}, Usage(5, 4, 2)),
        ({"input_tokens": 5, "output_tokens": 2, "cache_read_input_tokens": 3}, Usage(5, 3, 2)),
        ({"prompt_tokens": -5, "completion_tokens": -2}, Usage()),
        ({"prompt_tokens": "5", "completion_tokens": True, "prompt_tokens_details": 4}, Usage()),
        ({"prompt_tokens": 1e400, "completion_tokens": None}, Usage()),
    ],
    ids=["openai", "anthropic", "negative", "odd", "infinite"],
)
def test_what_is_believed(reported: dict[str, Any], usage: Usage) -> None:
    found = Usage()
    merge_usage(found, find_usage({"usage": reported}))
    assert found == usage


def test_a_guess_goes_by_the_text() -> None:
    body = {"messages": [{"content": "x" * 30}, {"content": [{"image_url": {"url": "data:," + "x" * 9999}}]}], "n": 1}
    assert estimate(Usage(), body, output=7) == Usage(8, 0, 7, estimated=True)


def test_what_was_counted_is_kept() -> None:
    assert estimate(Usage(5, 4, 2), {"prompt": "x" * 400}, output=7) == Usage(5, 4, 2, estimated=True)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=9,
)


@given(st.dictionaries(st.text(), values))
def test_no_body_breaks_it(body: dict[str, Any]) -> None:
    assert estimate(Usage(), body, output=0).input >= 0
