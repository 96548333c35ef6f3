"""Checks of what has a structure of its own: JSON schemas, tools, tool choices, response formats, grammars.

Bounds what a grammar compiler would have to work on, and refuses what no upstream understands. Unknown types of tools,
choices and formats pass. Raises `BadRequest` naming the place.
"""

import re
from collections.abc import Iterator
from typing import Any

import msgspec

from serving.errors import BadRequest
from serving.wire.json_guard import json_type
from serving.wire.kinds import refuse
from serving.wire.limits import InputLimits

CHOICES = '"none", "auto", "required" or an object'
MAX_PATTERN_NESTING = 20
"""Parentheses within parentheses in one regular expression."""
MAX_PATTERN_REPEATS = 1000
"""The largest count in braces; of several, in all patterns of a schema, the root of the sum of their squares."""

_REPEATS = re.compile(r"[{,]\s*0*(\d+)\s*(?=[,}])", re.ASCII)


def check_schema(name: str, schema: Any, limits: InputLimits) -> None:
    """A JSON schema within bounds. What it says is for the engine's grammar compiler to judge."""
    if not isinstance(schema, dict):
        raise BadRequest(f"{name}: must be a JSON schema, an object, not {json_type(schema)}", param=name)
    text = msgspec.json.encode(schema)
    if len(text) > limits.max_schema_bytes:
        _over(name, f"{len(text)} bytes", limits.max_schema_bytes, "max_schema_bytes")
    brackets = text.count(b"{") + text.count(b"[")
    if brackets > limits.max_schema_depth and _deeper_than(schema, limits.max_schema_depth):
        _over(name, "more levels", limits.max_schema_depth, "max_schema_depth")
    if b'"pattern' in text:
        patterns = list(_patterns(schema))
        for pattern in patterns:
            check_pattern(name, pattern, limits)
        _check_repeats(name, patterns)


def check_pattern(name: str, pattern: Any, limits: InputLimits) -> None:
    """A regular expression short and flat enough to be compiled."""
    if not isinstance(pattern, str):
        refuse(name, "a string", pattern)
    if len(pattern) > limits.max_pattern_chars:
        _over(name, f"a pattern of {len(pattern)} characters", limits.max_pattern_chars, "max_pattern_chars")
    depth = 0
    for char in pattern:
        depth += (char == "(") - (char == ")")
        if depth > MAX_PATTERN_NESTING:
            raise BadRequest(f"{name}: nests over {MAX_PATTERN_NESTING} groups; flatten the pattern", param=name)
    _check_repeats(name, [pattern])


def _check_repeats(name: str, patterns: list[str]) -> None:
    """What `a{1,20000}` costs xgrammar grows with the square: half a minute, in which a replica does nothing else."""
    cost = sum(int(digits[:9]) ** 2 for pattern in patterns for digits in _REPEATS.findall(pattern))
    if cost > MAX_PATTERN_REPEATS**2:
        raise BadRequest(f"{name}: repeats over {MAX_PATTERN_REPEATS} times; use maxLength or '+'", param=name)


def check_grammar(name: str, grammar: Any, limits: InputLimits) -> None:
    """A grammar as text, or as an object that stands for one."""
    size = len(grammar) if isinstance(grammar, str) else len(msgspec.json.encode(grammar))
    if size > limits.max_grammar_chars:
        _over(name, f"{size} characters", limits.max_grammar_chars, "max_grammar_chars")


def check_schema_or_text(name: str, value: Any, limits: InputLimits) -> None:
    """A schema as an object, or as JSON in a string."""
    if not isinstance(value, str):
        check_schema(name, value, limits)
        return
    try:
        schema = msgspec.json.decode(value)
    except (msgspec.DecodeError, RecursionError) as error:
        raise BadRequest(f"{name}: is not valid JSON; send the schema as an object", param=name) from error
    check_schema(name, schema, limits)


def check_format(name: str, value: Any, limits: InputLimits) -> None:
    """`response_format` of chat and completions: the schema stands in `json_schema`."""
    kind = _typed(name, value)
    if kind == "json_schema":
        _check_named_schema(f"{name}.json_schema", value.get("json_schema"), limits)
    elif kind in ("grammar", "structural_tag"):
        check_grammar(name, value, limits)


def check_text(name: str, value: Any, limits: InputLimits) -> None:
    """`text` of Responses: the schema stands in `text.format` itself."""
    if not isinstance(value, dict):
        refuse(name, "an object", value)
    form = value.get("format")
    if form is not None and _typed(f"{name}.format", form) == "json_schema":
        _check_named_schema(f"{name}.format", form, limits)


def check_output_config(name: str, value: Any, limits: InputLimits) -> None:
    """`output_config` of Messages: an unnamed schema in `format`."""
    if not isinstance(value, dict):
        refuse(name, "an object", value)
    form = value.get("format")
    if form is not None:
        check_output_format(f"{name}.format", form, limits)


def check_output_format(name: str, value: Any, limits: InputLimits) -> None:
    """`output_format` of Messages."""
    if _typed(name, value) == "json_schema":
        check_schema(f"{name}.schema", value.get("schema"), limits)


def check_structured_outputs(name: str, value: Any, limits: InputLimits) -> None:
    """vLLM's `structured_outputs`: one of json, regex, choice, grammar, structural_tag."""
    if not isinstance(value, dict):
        refuse(name, "an object", value)
    checks = {
        "json": check_schema_or_text,
        "regex": check_pattern,
        "whitespace_pattern": check_pattern,
        "grammar": check_grammar,
        "structural_tag": check_grammar,
        "choice": check_grammar,
    }
    for key, check in checks.items():
        if value.get(key) is not None:
            check(f"{name}.{key}", value[key], limits)


def check_chat_tools(name: str, value: Any, limits: InputLimits) -> None:
    """Tools of chat: a function stands in `function`."""
    for place, tool in _tools(name, value, limits):
        if tool.get("type", "function") == "function":
            _check_function(f"{place}.function", tool.get("function"), "parameters", limits)
        elif isinstance(tool.get("custom"), dict):
            _check_custom(f"{place}.custom", tool["custom"], limits)


def check_responses_tools(name: str, value: Any, limits: InputLimits) -> None:
    """Tools of Responses: a function is the tool itself; a namespace holds tools of its own."""
    for place, tool in _tools(name, value, limits):
        kind = tool.get("type")
        if kind == "function":
            _check_function(place, tool, "parameters", limits)
        elif kind == "custom":
            _check_custom(place, tool, limits)
        elif tool.get("tools") is not None:
            for inner_place, inner in _tools(f"{place}.tools", tool["tools"], limits):
                if inner.get("parameters") is not None:
                    check_schema(f"{inner_place}.parameters", inner["parameters"], limits)


def check_messages_tools(name: str, value: Any, limits: InputLimits) -> None:
    """Tools of Messages: one without a type, or of type `custom`, is a function."""
    for place, tool in _tools(name, value, limits):
        if tool.get("type", "custom") in ("custom", None):
            _check_function(place, tool, "input_schema", limits)


def check_functions(name: str, value: Any, limits: InputLimits) -> None:
    """The forerunner of `tools` on chat."""
    for place, function in _tools(name, value, limits):
        _check_function(place, function, "parameters", limits)


def check_tool_choice(name: str, value: Any, limits: InputLimits) -> None:
    """A word, or an object with a type; a choice of one function names it."""
    if isinstance(value, str):
        if value not in ("none", "auto", "required"):
            refuse(name, CHOICES, value)
        return
    if not isinstance(value, dict):
        refuse(name, CHOICES, value)
    if _typed(name, value) == "function":
        holder = value.get("function", value)
        if not isinstance(holder, dict) or not _is_name(holder.get("name")):
            raise BadRequest(f"{name}: must name the function, as in its own entry of tools", param=name)


def check_messages_tool_choice(name: str, value: Any, limits: InputLimits) -> None:
    """Always an object on Messages; type `tool` names it."""
    if not isinstance(value, dict):
        refuse(name, 'an object such as {"type": "auto"}', value)
    if _typed(name, value) == "tool" and not _is_name(value.get("name")):
        raise BadRequest(f"{name}.name: must be the name of a tool", param=f"{name}.name")


def check_logit_bias(name: str, value: Any, limits: InputLimits) -> None:
    """Token id → a number from -100 to 100."""
    if not isinstance(value, dict):
        refuse(name, "an object of token ids and numbers", value)
    if len(value) > limits.max_logit_bias:
        _over(name, f"{len(value)} entries", limits.max_logit_bias, "max_logit_bias")
    for token, bias in value.items():
        if not (token.isascii() and token.isdigit() and len(token) < 10):
            raise BadRequest(f'{name}: the keys must be token ids, as in {{"50256": -100}}', param=name)
        if type(bias) not in (int, float) or not -100 <= bias <= 100:
            refuse(f"{name}.{token}", "a number from -100 to 100", bias)


def _check_function(place: str, function: Any, schema: str, limits: InputLimits) -> None:
    if not isinstance(function, dict):
        raise BadRequest(f"{place}: must be an object with a name, not {json_type(function)}", param=place)
    if not _is_name(function.get("name")):
        raise BadRequest(f"{place}.name: must be a non-empty string", param=f"{place}.name")
    _check_strict(place, function)
    if function.get(schema) is not None:
        check_schema(f"{place}.{schema}", function[schema], limits)


def _check_custom(place: str, tool: dict[str, Any], limits: InputLimits) -> None:
    form = tool.get("format")
    if form is not None:
        check_grammar(f"{place}.format", form, limits)


def _check_named_schema(place: str, holder: Any, limits: InputLimits) -> None:
    if not isinstance(holder, dict):
        raise BadRequest(f"{place}: must be an object with name and schema, not {json_type(holder)}", param=place)
    if not _is_name(holder.get("name")):
        raise BadRequest(f"{place}.name: must be a non-empty string", param=f"{place}.name")
    _check_strict(place, holder)
    if holder.get("schema") is None:
        raise BadRequest(f"{place}.schema: missing; type json_schema needs it", param=f"{place}.schema")
    check_schema(f"{place}.schema", holder["schema"], limits)


def _check_strict(place: str, holder: dict[str, Any]) -> None:
    strict = holder.get("strict")
    if strict is not None and not isinstance(strict, bool):
        refuse(f"{place}.strict", "true or false", strict)


def _tools(name: str, value: Any, limits: InputLimits) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each tool with its place."""
    if not isinstance(value, list):
        refuse(name, "a list of objects", value)
    if len(value) > limits.max_tools:
        _over(name, f"{len(value)} of them", limits.max_tools, "max_tools")
    for index, tool in enumerate(value):
        if not isinstance(tool, dict):
            refuse(f"{name}[{index}]", "an object", tool)
        yield f"{name}[{index}]", tool


def _typed(name: str, value: Any) -> str:
    if not isinstance(value, dict):
        refuse(name, "an object with a type", value)
    kind = value.get("type")
    if not isinstance(kind, str):
        raise BadRequest(f"{name}.type: must be a string", param=f"{name}.type")
    return kind


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and value != ""


def _deeper_than(node: Any, levels: int) -> bool:
    level = [node]
    for _ in range(levels):
        level = [inner for one in level for inner in _inner(one)]
    return bool(level)


def _inner(node: Any) -> list[Any]:
    values = node.values() if isinstance(node, dict) else node
    return [value for value in values if isinstance(value, dict | list)]


def _patterns(schema: Any) -> Iterator[Any]:
    """Every regular expression in a schema. Names of properties may look like one; no harm is done then."""
    level = [schema]
    while level:
        for node in level:
            if isinstance(node, dict):
                if isinstance(node.get("pattern"), str):
                    yield node["pattern"]
                if isinstance(node.get("patternProperties"), dict):
                    yield from node["patternProperties"]
        level = [inner for one in level for inner in _inner(one)]


def _over(name: str, found: str, limit: int, setting: str) -> None:
    raise BadRequest(f"{name}: {found} are over the limit of {limit} (setting {setting})", param=name)
