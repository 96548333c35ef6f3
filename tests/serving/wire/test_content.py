"""Parts of messages, at every place where a protocol puts them."""

from typing import Any

import pytest

from serving.errors import BadRequest
from serving.wire.content import ABILITY_OF_PART, TENSOR_PARTS, abilities, refuse_tensors


def placed(part: Any) -> list[Any]:
    """The part where chat, Responses and Messages have parts: in a turn, in a tool's output, in a tool's result."""
    return [
        [{"role": "user", "content": [{"type": "text", "text": "x"}, part]}],
        [{"type": "function_call_output", "output": [part]}],
        [{"role": "user", "content": [{"type": "tool_result", "content": [part]}]}],
    ]


@pytest.mark.parametrize(("kind", "ability"), ABILITY_OF_PART.items())
def test_each_part_asks_for_its_ability(kind: str, ability: str) -> None:
    for turns in placed({"type": kind}):
        assert abilities(turns) == {ability}
        refuse_tensors(turns, field="messages")


@pytest.mark.parametrize("kind", TENSOR_PARTS)
def test_tensors_are_refused_wherever_they_stand(kind: str) -> None:
    for turns in placed({"type": kind}):
        with pytest.raises(BadRequest, match=f"^messages: parts of type {kind}"):
            refuse_tensors(turns, field="messages")


@pytest.mark.parametrize(
    "turns",
    [None, "x", ["x"], [{"content": "x"}], [{"content": [1, {"type": []}, {"content": ["x"]}]}], [{"output": {}}]],
)
def test_anything_else_asks_for_nothing(turns: Any) -> None:
    assert abilities(turns) == set()
    refuse_tensors(turns, field="input")
