"""Request bodies that are almost right: valid ones of every route, changed a little where it hurts.

Knows the routes' tables and the names of vLLM's own fields; nothing of what answers. A body is drawn as raw bytes, so
that it may stop being JSON at all.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from serving.wire.limits import DEFAULTS
from serving.wire.openapi import request_schema
from serving.wire.routes import RELAYED

SURROGATE = "@half a character@"
"""Stands for the escape of a lone surrogate, which no `str` can be encoded with."""
_TURNS = [{"role": "user", "content": "2+2="}]
_FUNCTION = {
    "name": "add",
    "description": "Adds.",
    "parameters": {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]},
}
_CALL = {"id": "call_1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}}
_SCHEMA = {"type": "object", "properties": {"x": {"type": "string", "maxLength": 2}}, "required": ["x"]}
_JSON_SCHEMA = {"type": "json_schema", "json_schema": {"name": "n", "schema": _SCHEMA}}
_TEXT_FORMAT = {"type": "json_schema", "name": "n", "schema": _SCHEMA}

VALID: Mapping[str, Sequence[Mapping[str, Any]]] = {
    "/v1/chat/completions": (
        {"messages": _TURNS, "max_tokens": 2},
        {"messages": _TURNS, "max_completion_tokens": 2, "stream": True, "stream_options": {"include_usage": True}},
        {"messages": _TURNS, "max_tokens": 2, "logprobs": True, "top_logprobs": 2, "n": 2, "seed": 1, "stop": ["x"]},
        {"messages": _TURNS, "max_tokens": 4, "tools": [{"type": "function", "function": _FUNCTION}]},
        {
            "messages": _TURNS,
            "max_tokens": 4,
            "tools": [{"type": "function", "function": _FUNCTION}],
            "tool_choice": {"type": "function", "function": {"name": "add"}},
        },
        {"messages": _TURNS, "max_tokens": 4, "response_format": _JSON_SCHEMA},
        {
            "messages": [
                {"role": "system", "content": "Count."},
                {"role": "user", "content": [{"type": "text", "text": "2+2="}]},
                {"role": "assistant", "content": None, "tool_calls": [_CALL]},
                {"role": "tool", "tool_call_id": "call_1", "content": "4"},
            ],
            "max_tokens": 2,
        },
    ),
    "/v1/completions": (
        {"prompt": "2+2=", "max_tokens": 2},
        {"prompt": ["2+2=", "3+3="], "max_tokens": 2, "stream": True},
        {"prompt": [1, 2, 3], "max_tokens": 2, "echo": True, "logprobs": 1, "temperature": 0},
        {"prompt": [[1, 2], [3]], "max_tokens": 1, "n": 2, "best_of": 2, "logit_bias": {"5": -100}},
    ),
    "/v1/responses": (
        {"input": "2+2=", "max_output_tokens": 2},
        {"input": "2+2=", "max_output_tokens": 2, "stream": True, "store": False, "instructions": "Count."},
        {
            "input": [
                {"role": "user", "content": [{"type": "input_text", "text": "2+2="}]},
                {"type": "function_call", "call_id": "c", "name": "add", "arguments": "{}"},
                {"type": "function_call_output", "call_id": "c", "output": "4"},
            ],
            "max_output_tokens": 2,
            "tools": [{"type": "function", **_FUNCTION}],
        },
        {"input": "x", "max_output_tokens": 4, "text": {"format": _TEXT_FORMAT}},
    ),
    "/v1/messages": (
        {"messages": _TURNS, "max_tokens": 2},
        {"messages": _TURNS, "max_tokens": 2, "stream": True, "system": [{"type": "text", "text": "Count."}]},
        {
            "messages": [
                {"role": "user", "content": [{"type": "text", "text": "2+2="}]},
                {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "add", "input": {"a": 1}}]},
                {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": "4"}]},
            ],
            "max_tokens": 2,
            "tools": [{"name": "add", "input_schema": _FUNCTION["parameters"]}],
            "tool_choice": {"type": "auto"},
            "stop_sequences": ["x"],
        },
    ),
    "/v1/messages/count_tokens": ({"messages": _TURNS}, {"messages": _TURNS, "system": "Count."}),
    "/v1/embeddings": (
        {"input": "2+2="},
        {"input": ["a", "b"], "encoding_format": "base64"},
        {"input": [1, 2, 3]},
        {"input": [[1], [2, 3]], "dimensions": 8},
    ),
    "/v1/rerank": ({"query": "a", "documents": ["b", "c"]}, {"query": "a", "documents": [{"content": []}], "top_n": 1}),
    "/v1/score": ({"text_1": "a", "text_2": "b"}, {"queries": "a", "documents": ["b", "c"]}),
    "/tokenize": ({"prompt": "2+2="}, {"messages": _TURNS, "add_generation_prompt": True}),
}  # fmt: skip
"""Valid bodies by route, without a model. Short answers, as a small engine gives them."""

ENGINE_FIELDS = (
    "add_generation_prompt", "add_special_tokens", "continue_final_message", "documents", "early_stopping",
    "embed_dtype", "endianness", "ignore_eos", "include_reasoning", "include_stop_str_in_output", "instruction",
    "items", "length_penalty", "max_logprobs", "max_tokens_per_doc", "max_tokens_per_query", "padding",
    "prompt_cache_key", "query", "repetition_detection", "return_prompt_text", "return_token_ids",
    "return_token_offsets", "return_token_strs", "return_tokens_as_token_ids", "session_id", "skip_special_tokens",
    "spaces_between_special_tokens", "stream_interval", "thinking_token_budget", "truncate_prompt_tokens",
    "truncation", "truncation_side", "use_activation", "use_beam_search", "watermarking",
)  # fmt: skip
"""Fields of vLLM's own that the gateway passes."""

_NUMBERS = (0, 1, -1, 2, 3, 7, 20, 1024, 2**31 - 1, 2**31, 2**63 - 1, 2**63, 10**30, 0.0, 0.5, -0.5, 1.5, 1e308, 1e-320)
_STRINGS = (
    "", " ", "a", "auto", "none", "required", "user", "\0", "\U0001f600", "\u202e", "a" * 300, "<|im_end|>", "{{7*7}}",
    "{% for i in range(9) %}", "%s%n", "../../etc/passwd", "left", "right", "(", "[a-", "(a+)+$", "a{1,20000}", "\\",
    SURROGATE,
)  # fmt: skip
_REFERENCES = ("#", "#/x", "#/$defs/a", "http://127.0.0.1:1/x", "file:///x", "")
_GRAMMARS = ("root ::= ", 'root ::= "a"', "start: x", "?", "root ::= root")
SCALARS = st.none() | st.booleans() | st.sampled_from(_NUMBERS) | st.sampled_from(_STRINGS) | st.text(max_size=6)
JUNK = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["type", "name", "content", "role", "text", "id", "function", "x", "", "schema"]), inner,
            max_size=3,
        )
    ),
    max_leaves=6,
)  # fmt: skip
_TYPES = st.sampled_from(
    ["string", "integer", "object", "array", "number", "boolean", "null", "any", ["string", "null"], 7]
)
SCHEMAS = st.recursive(
    st.booleans()
    | st.fixed_dictionaries({"type": _TYPES})
    | st.fixed_dictionaries({"enum": st.lists(SCALARS, max_size=3)})
    | st.fixed_dictionaries({"const": SCALARS})
    | st.fixed_dictionaries({"type": st.just("string"), "pattern": st.sampled_from(_STRINGS)})
    | st.fixed_dictionaries({"type": st.just("string"), "maxLength": st.sampled_from(_NUMBERS)})
    | st.fixed_dictionaries({"type": st.just("integer"), "minimum": SCALARS, "maximum": SCALARS})
    | st.fixed_dictionaries({"$ref": st.sampled_from(_REFERENCES)})
    | st.fixed_dictionaries({"format": st.sampled_from(["date-time", "regex", "nothing"])}),
    lambda inner: (
        st.fixed_dictionaries({"type": st.just("object"), "properties": st.dictionaries(st.text(max_size=2), inner)})
        | st.fixed_dictionaries({"type": st.just("array"), "items": inner, "minItems": st.sampled_from(_NUMBERS)})
        | st.fixed_dictionaries({"anyOf": st.lists(inner, max_size=3)})
        | st.fixed_dictionaries({"allOf": st.lists(inner, max_size=3)})
        | st.fixed_dictionaries({"type": st.just("object"), "required": JUNK, "additionalProperties": inner})
        | st.fixed_dictionaries({"$defs": st.dictionaries(st.just("a"), inner), "$ref": st.just("#/$defs/a")})
        | st.fixed_dictionaries({"patternProperties": st.dictionaries(st.sampled_from(_STRINGS), inner, max_size=1)})
        | st.fixed_dictionaries({"not": inner})
    ),
    max_leaves=4,
)  # fmt: skip
_NAME = st.just("n")
_FUNCTION_NAMES = st.sampled_from(["add", "a b", "\u00e9"])

_SHAPED: Mapping[str, st.SearchStrategy[Any]] = {
    "response_format": st.fixed_dictionaries(
        {"type": st.just("json_schema"), "json_schema": st.fixed_dictionaries({"name": _NAME, "schema": SCHEMAS})}
    ),
    "text": st.fixed_dictionaries(
        {"format": st.fixed_dictionaries({"type": st.just("json_schema"), "name": _NAME, "schema": SCHEMAS})}
    ),
    "output_format": st.fixed_dictionaries({"type": st.just("json_schema"), "schema": SCHEMAS}),
    "tools": st.lists(
        st.fixed_dictionaries(
            {
                "type": st.just("function"),
                "function": st.fixed_dictionaries({"name": _FUNCTION_NAMES, "parameters": SCHEMAS}),
            }
        ),
        max_size=2,
    ),
    "structured_outputs": st.one_of(
        st.fixed_dictionaries({"json": SCHEMAS}),
        st.fixed_dictionaries({"regex": st.sampled_from(_STRINGS)}),
        st.fixed_dictionaries({"choice": st.lists(st.sampled_from(_STRINGS), max_size=3)}),
        st.fixed_dictionaries({"grammar": st.sampled_from(_GRAMMARS)}),
        st.fixed_dictionaries({"json_object": st.booleans(), "regex": st.just("a")}),
        st.fixed_dictionaries({"structural_tag": JUNK}),
    ),
    "repetition_detection": st.dictionaries(
        st.sampled_from(["max_pattern_size", "min_pattern_size", "min_count", "x"]), SCALARS, max_size=3
    ),
    "messages": st.lists(
        st.fixed_dictionaries(
            {"role": st.sampled_from(["user", "assistant", "system", "tool", "developer", "function", "x", ""])},
            optional={"content": JUNK, "tool_calls": JUNK, "tool_call_id": SCALARS, "name": SCALARS, "reasoning": JUNK},
        ),
        min_size=1,
        max_size=3,
    ),
    "logit_bias": st.dictionaries(st.sampled_from(["0", "5", "-1", "999999", "x", ""]), SCALARS, max_size=2),
}  # fmt: skip
"""Values that are nearly right for some fields."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One request to send."""

    path: str
    raw: bytes

    def __repr__(self) -> str:
        return f"POST {self.path} {self.raw[:600]!r}"


@st.composite
def almost_valid(draw: st.DrawFn, models: Mapping[str, Sequence[str]]) -> Asked:
    """A body with one to three changes, sometimes broken as text. `models`: whom to ask by operation."""
    path = draw(st.sampled_from(sorted(VALID)))
    body: Any = json.loads(json.dumps(draw(st.sampled_from(VALID[path]))))
    body["model"] = draw(st.sampled_from(models[RELAYED[path].operation]))
    for _ in range(draw(st.integers(1, 3))):
        if len(body) == 1 or draw(st.booleans()):
            name = draw(st.sampled_from(_names(path)))
            body[name] = draw(_values(path, name))
        else:
            body = draw(_changed(body))
    raw = json.dumps(body).replace(SURROGATE, "\\ud800").encode()
    return Asked(path, draw(_broken(raw)) if draw(st.integers(0, 9)) == 0 else raw)


_ODD = (
    b"", b"\xef\xbb\xbf{}", b"[" * 5000, b'{"a":' * 5000, b'{"model": "auto", "model": "auto"}', b"NaN", b"null",
    b'{"model": 1e400}', b'{"messages": [{}], "model": "\\ud800"}', b"{}\0", b"0" * 9999,
)  # fmt: skip


def raw_bytes() -> st.SearchStrategy[Asked]:
    """Bytes that are no body of ours, or JSON that nobody asked for."""
    texts = JUNK.map(lambda value: json.dumps(value).replace(SURROGATE, "\\udfff").encode())
    odd = st.sampled_from(_ODD)
    return st.builds(Asked, st.sampled_from(sorted(VALID)), st.binary(max_size=64) | texts | odd)


def _names(path: str) -> Sequence[str]:
    return sorted({*request_schema(RELAYED[path], DEFAULTS)["properties"], *ENGINE_FIELDS} - {"model"})


@st.composite
def _values(draw: st.DrawFn, path: str, name: str) -> Any:
    """Mostly what the schema lets pass, often at its edge, so that an engine gets to see it; else junk."""
    schema = request_schema(RELAYED[path], DEFAULTS)["properties"].get(name, {})
    edges = [edge for one in (schema, *schema.get("anyOf", ())) for edge in _edges(one)]
    if draw(st.integers(0, 4)) == 0:
        return draw(JUNK)
    if name in _SHAPED:
        return draw(_SHAPED[name])
    return draw(st.sampled_from(edges) if edges else SCALARS)


def _edges(schema: Mapping[str, Any]) -> list[Any]:
    """Bounds, what is just within and just beyond them, words, and small numbers."""
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is not None and high is not None:
        within = [low, low + 1, (low + high) / 2, high] if schema["type"] == "number" else [low, low + 1, 2, high]
        return [*within, *within, low - 1, high + 1]
    words = list(schema.get("enum", ())) + ([True, False] if schema.get("type") == "boolean" else [])
    return words + ([[1], [0, 5], [99999]] if schema.get("items", {}).get("type") == "integer" else [])


@st.composite
def _changed(draw: st.DrawFn, node: Any) -> Any:
    """`node` with something replaced, taken away, doubled or wrapped somewhere in it; its model stays."""
    if isinstance(node, dict) and (keys := [key for key in node if key != "model"]):
        key = draw(st.sampled_from(keys))
        rest = {name: value for name, value in node.items() if name != key}
        fate = draw(st.integers(0, 5))
        if fate == 0:
            return rest
        if fate == 1:
            return node | {draw(st.text(max_size=8)): node[key]}
        return node | {key: draw(_changed(node[key]))}
    if isinstance(node, list) and node:
        at = draw(st.integers(0, len(node) - 1))
        fate = draw(st.integers(0, 5))
        if fate == 0:
            return node[:at] + node[at + 1 :]
        if fate == 1:
            return node + [node[at]] * draw(st.sampled_from([1, 2, 200]))
        return [*node[:at], draw(_changed(node[at])), *node[at + 1 :]]
    return draw(JUNK | SCHEMAS | st.just([node]) | st.just({"x": node}))


@st.composite
def _broken(draw: st.DrawFn, raw: bytes) -> bytes:
    at = draw(st.integers(0, len(raw)))
    noise = draw(st.binary(max_size=4) | st.sampled_from([b",", b"}", b"NaN", b'"', b"\\u", b"\xff", b"1e999", b"//"]))
    return raw[:at] + noise + raw[draw(st.integers(at, min(len(raw), at + 4))) :]
