"""Has an answer the form that was asked of it: JSON that parses and fits its schema, code that parses, no refusal.

Each check is 0 or 1 or a small count; work is bounded, and what is too long to judge counts as sound. Pure.
"""

import ast
import re
import warnings
from collections.abc import Mapping, Sequence

import msgspec

MAX_CODE_CHARS = 4000
"""A longer block of code is not parsed."""
MAX_JSON_CHARS = 65_536
_MAX_NESTING = 40
"""Of brackets in code, and of schemas: the parser's stack is the process's."""

_BLOCK = re.compile(r"```(?:python|py|python3)[ \t]*\n(.*?)(?:\n```|\Z)", re.DOTALL | re.IGNORECASE)
_REFUSAL = re.compile(
    r"\b(?:i(?:'m| am) (?:sorry|afraid|unable|not able)|i (?:can(?:'t|not)|do(?:n't| not) (?:know|have))|as an ai"
    r"|(?:can(?:'t|not)|impossible to) (?:be )?(?:answer|determine|calculate)|not enough information)",
    re.IGNORECASE,
)
_REFUSAL_CHARS = 1000
_OPENING, _CLOSING = "([{", ")]}"

NAMES = ("empty", "refusal", "code_blocks", "code_broken", "fence_open", "json_broken", "schema_misfit", "tool_broken")
"""What `structure` gives, in order."""

_TYPES: Mapping[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "boolean": (bool,),
    "null": (type(None),),
    "integer": (int,),
    "number": (int, float),
}


def structure(
    answer: str, *, schema: Mapping[str, object] | None, tools: Sequence[tuple[str, Mapping[str, object] | None]]
) -> tuple[float, ...]:
    """One value per name in `NAMES`.

    `schema`: the answer has to be JSON that fits it ({}: any JSON); None: nothing was asked. `tools`: per call the
    arguments as sent and the schema of the tool's parameters, None for a tool that is not known.
    """
    blocks = _BLOCK.findall(answer)
    broken = sum(not parses(block) for block in blocks)
    parsed, fitting = (True, True) if schema is None else judge_json(answer, schema)
    calls = sum(known is None or judge_json(text, known) != (True, True) for text, known in tools)
    return (
        *(float(not answer.strip() and not tools), float(bool(_REFUSAL.search(answer, 0, _REFUSAL_CHARS)))),
        *(len(blocks), broken, float(answer.count("```") % 2), float(not parsed), float(not fitting), calls),
    )


def parses(code: str) -> bool:
    """Is this Python? What is too long or too deeply nested to look at is taken to be."""
    if len(code) > MAX_CODE_CHARS or _nesting(code) > _MAX_NESTING:
        return True
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            ast.parse(code)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return False
    return True


def _nesting(text: str) -> int:
    depth = deepest = 0
    for char in text:
        if char in _OPENING:
            depth += 1
            deepest = max(deepest, depth)
        elif char in _CLOSING:
            depth -= 1
    return deepest


def judge_json(text: str, schema: Mapping[str, object]) -> tuple[bool, bool]:
    """Does it parse, and does it fit? What does not parse fits nothing."""
    if len(text) > MAX_JSON_CHARS:
        return True, True
    try:
        value = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return False, False
    return True, fits(value, schema)


def fits(value: object, schema: object, *, depth: int = 0) -> bool:
    """Does a JSON value fit type, enum, const, required, properties, additionalProperties and items of `schema`?

    Other keywords are not looked at, and nothing below 40 levels is.
    """
    if not isinstance(schema, Mapping) or depth > _MAX_NESTING:
        return schema is not False
    if not _is_of(value, schema.get("type")):
        return False
    choices = schema.get("enum")
    if isinstance(choices, list) and value not in choices:
        return False
    if "const" in schema and value != schema["const"]:
        return False
    if isinstance(value, list):
        return "items" not in schema or all(fits(each, schema["items"], depth=depth + 1) for each in value)
    return not isinstance(value, dict) or _fits_object(value, schema, depth)


def _is_of(value: object, names: object) -> bool:
    wanted = names if isinstance(names, list) else [names]
    if names is None or not all(isinstance(name, str) and name in _TYPES for name in wanted):
        return True
    if isinstance(value, bool):
        return "boolean" in wanted
    if isinstance(value, float) and value.is_integer() and "integer" in wanted:
        return True
    return any(isinstance(value, _TYPES[str(name)]) for name in wanted)


def _fits_object(value: Mapping[str, object], schema: Mapping[str, object], depth: int) -> bool:
    required, properties = schema.get("required"), schema.get("properties")
    if isinstance(required, list) and any(name not in value for name in required):
        return False
    known = properties if isinstance(properties, Mapping) else {}
    other = schema.get("additionalProperties", True)
    return all(fits(each, known.get(name, other), depth=depth + 1) for name, each in value.items())
