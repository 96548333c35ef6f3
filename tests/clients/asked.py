"""What every client asks: model names, one easy question, and schemas so bounded that any model's answer ends.

Abacus is too small to choose a tool; with a forced choice or a schema the grammar writes the call, so it is real.
"""

from typing import Any

SMALL, LONG, EMBED, HOSTED = "abacus-small", "abacus-long", "abacus-embed", "stand-in"
QUESTION = "What is 12 - 3?"
MESSAGES: list[Any] = [{"role": "user", "content": QUESTION}]
LONG_ANSWER = "one two three four five six seven eight nine ten"
FAULTS = {"cut": {"cut_after": 8}, "end": {"end_after": 8}, "error": {"error_after": 8}}
"""How the stand-in's stream breaks off inside its answer: connection reset, clean end, error event."""
DIGITS: dict[str, Any] = {"type": "integer", "minimum": 0, "maximum": 99}
ADD: dict[str, Any] = {
    "type": "object",
    "properties": {"a": DIGITS, "b": DIGITS},
    "required": ["a", "b"],
    "additionalProperties": False,
}
PICK: dict[str, Any] = {
    "type": "object",
    "properties": {"colour": {"type": "string", "enum": ["red", "green"]}},
    "required": ["colour"],
    "additionalProperties": False,
}
VERDICT: dict[str, Any] = {
    "type": "object",
    "properties": {"answer": DIGITS, "sure": {"type": "boolean"}, "why": {"type": "string", "maxLength": 8}},
    "required": ["answer", "sure", "why"],
    "additionalProperties": False,
}


def breaking(fault: str) -> dict[str, Any]:
    """The script of a stand-in whose stream breaks off, see `FAULTS`."""
    return {"answer": LONG_ANSWER, **FAULTS[fault]}


def chat_tools() -> list[Any]:
    """Two functions, as chat completions spell them."""
    return [
        {"type": "function", "function": {"name": name, "description": name, "parameters": schema}}
        for name, schema in (("add", ADD), ("pick", PICK))
    ]


def response_tools() -> list[Any]:
    """The same, as the Responses API spells them."""
    return [
        {"type": "function", "name": name, "description": name, "parameters": schema, "strict": True}
        for name, schema in (("add", ADD), ("pick", PICK))
    ]


def message_tools() -> list[Any]:
    """The same, as Anthropic spells them."""
    return [
        {"name": name, "description": name, "input_schema": schema} for name, schema in (("add", ADD), ("pick", PICK))
    ]


def check_add(arguments: Any) -> None:
    """Assert that these are arguments of `add`."""
    assert sorted(arguments) == ["a", "b"]
    assert all(isinstance(value, int) and 0 <= value <= 99 for value in arguments.values())


def check_verdict(answer: Any) -> None:
    """Assert that this is a `VERDICT`."""
    assert sorted(answer) == ["answer", "sure", "why"]
    assert 0 <= answer["answer"] <= 99
    assert isinstance(answer["sure"], bool)
    assert len(answer["why"]) <= 8
