"""Tools and the choice among them, cut down to those an engine can call. Knows no models.

What the client got wrong is left for the engine to refuse: a choice without tools, an empty list, a name nobody offers.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

_MODES = ("auto", "required", "none")
Tool = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Dialect:
    """How one API speaks of tools. `kinds`: types of a `tool_choice` object that an engine understands."""

    callable_: Callable[[Tool], bool]
    kinds: tuple[str, ...]
    auto: Any = "auto"


def cut_tools(body: dict[str, Any], dialect: Dialect) -> None:
    """Keep the tools an engine can call, of those an `allowed_tools` choice names; change `body` in place.

    A choice of a tool that is left out becomes `auto`; when none is left there is no choice either.
    """
    tools = body.get("tools")
    if not isinstance(tools, list) or not all(isinstance(tool, dict) for tool in tools):
        return
    choice = body.get("tool_choice")
    names = _allowed(choice)
    kept = [tool for tool in tools if dialect.callable_(tool) and (names is None or _name(tool) in names)]
    if tools and not kept:
        del body["tools"]
        body.pop("tool_choice", None)
        return
    body["tools"] = kept
    if isinstance(choice, dict):
        left_out = {_name(tool) for tool in tools if tool not in kept}
        body["tool_choice"] = _choice(choice, left_out, dialect)


def _choice(choice: Mapping[str, Any], left_out: set[str | None], dialect: Dialect) -> Any:
    if choice.get("type") == "allowed_tools":
        mode = choice.get("mode") or _nested(choice).get("mode")
        return mode if mode in _MODES else dialect.auto
    if choice.get("type") not in dialect.kinds:
        return dialect.auto
    name = _name(choice)
    return dialect.auto if name is not None and name in left_out else choice


def _allowed(choice: Any) -> set[str | None] | None:
    """Names that an `allowed_tools` choice lists; None for any other choice."""
    if not isinstance(choice, dict) or choice.get("type") != "allowed_tools":
        return None
    tools = choice.get("tools") or _nested(choice).get("tools")
    return {_name(tool) for tool in tools if isinstance(tool, dict)} if isinstance(tools, list) else None


def _nested(choice: Mapping[str, Any]) -> Mapping[str, Any]:
    inner = choice.get("allowed_tools")
    return inner if isinstance(inner, dict) else {}


def _name(tool: Tool) -> str | None:
    """The name of a tool or of a choice, flat as in Responses and Messages or nested as in chat."""
    function = tool.get("function")
    name = function.get("name") if isinstance(function, dict) else tool.get("name")
    return name if isinstance(name, str) else None
