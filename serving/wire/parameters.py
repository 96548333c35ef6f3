"""The parameters that are checked before a model is asked: one table, for the gateway and for its documentation.

What is not in the table passes untouched, unknown fields and types included. Ranges are those OpenAI and Anthropic
document; null counts as absent everywhere.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from serving.errors import BadRequest
from serving.wire import structured
from serving.wire.kinds import (
    BOOLEAN,
    INT64,
    OBJECT,
    TEXT,
    Checked,
    Integer,
    Kind,
    Listed,
    Number,
    OneOf,
    Strings,
    refuse,
    resolved,
    token_ids,
    too_many,
)
from serving.wire.limits import InputLimits


@dataclass(frozen=True, slots=True)
class Parameter:
    """One checked parameter of some operations (`models.spec.OPERATIONS`)."""

    name: str
    operations: tuple[str, ...]
    kind: Kind


@dataclass(frozen=True, slots=True)
class Prompts:
    """A string, a list of strings, or token ids: one list of them, or a list of lists. At most `most` prompts."""

    most: str

    def check(self, name: str, value: Any, limits: InputLimits) -> None:
        """See `Kind.check`. One list of token ids is one prompt."""
        if isinstance(value, str):
            return
        if not isinstance(value, list):
            refuse(name, self.says(limits), value)
        if value and type(value[0]) is int:
            if not token_ids(value):
                raise BadRequest(f"{name}: must hold token ids only, integers from 0 on", param=name)
            return
        if len(value) > resolved(self.most, limits):
            too_many(name, self.says(limits), value)
        for index, one in enumerate(value):
            if not (isinstance(one, str | dict) or (isinstance(one, list) and one and token_ids(one))):
                refuse(f"{name}[{index}]", "a string or a list of token ids", one)

    def says(self, limits: InputLimits) -> str:
        """See `Kind.says`."""
        return f"a string, or a list of at most {resolved(self.most, limits)} prompts (setting {self.most})"

    def schema(self, limits: InputLimits) -> Mapping[str, Any]:
        """See `Kind.schema`."""
        ids = {"type": "array", "items": {"type": "integer", "minimum": 0}, "minItems": 1}
        listed = {"type": "array", "maxItems": resolved(self.most, limits), "minItems": 1}
        one = {"anyOf": [{"type": "string"}, {"type": "object"}, ids]}
        return {"anyOf": [{"type": "string"}, ids, {**listed, "items": one}]}


@dataclass(frozen=True, slots=True)
class TextOr:
    """A string, or what `kind` is."""

    kind: Kind

    def check(self, name: str, value: Any, limits: InputLimits) -> None:
        """See `Kind.check`."""
        if not isinstance(value, str):
            self.kind.check(name, value, limits)

    def says(self, limits: InputLimits) -> str:
        """See `Kind.says`."""
        return f"a string or {self.kind.says(limits)}"

    def schema(self, limits: InputLimits) -> Mapping[str, Any]:
        """See `Kind.schema`."""
        return {"anyOf": [{"type": "string"}, self.kind.schema(limits)]}


def _check_stream_options(name: str, value: Any, limits: InputLimits) -> None:
    if not isinstance(value, dict):
        refuse(name, "an object", value)
    usage = value.get("include_usage")
    if usage is not None and not isinstance(usage, bool):
        refuse(f"{name}.include_usage", "true or false", usage)


_OBJECT = {"type": "object"}
_LIST = {"type": "array", "items": _OBJECT}
_CHOICE = {"anyOf": [{"enum": ["none", "auto", "required"]}, {**_OBJECT, "required": ["type"]}]}
_FORMAT = {**_OBJECT, "required": ["type"], "properties": {"type": {"type": "string"}}}
_BIASES = "an object of token ids and numbers from -100 to 100"
_SCHEMA = "a JSON schema within the limits of size and depth"
_TOOLS = "a list of tools; functions have a name and a JSON schema, other types pass as they are"
_BIAS = {**_OBJECT, "additionalProperties": {"type": "number", "minimum": -100, "maximum": 100}}

_OPENAI = ("chat", "completions", "responses")
_CHATS = ("chat", "responses")
_LEGACY = ("chat", "completions")
_GENERATING = ("chat", "completions", "responses", "messages")

_STOP_SEQUENCES = 32
"""Anthropic documents no bound on their number."""
_CANDIDATES = 1024
"""Most token ids or words in one of vLLM's lists of them."""

PARAMETERS: tuple[Parameter, ...] = (
    Parameter("temperature", _OPENAI, Number(0, 2)),
    Parameter("temperature", ("messages",), Number(0, 1)),
    Parameter("top_p", _GENERATING, Number(0, 1)),
    Parameter("top_k", _GENERATING, Integer(-1)),
    Parameter("min_p", _OPENAI, Number(0, 1)),
    Parameter("frequency_penalty", _OPENAI, Number(-2, 2)),
    Parameter("presence_penalty", _OPENAI, Number(-2, 2)),
    Parameter("repetition_penalty", _OPENAI, Number(0, 100)),
    Parameter("max_tokens", ("chat",), Integer(1)),
    Parameter("max_tokens", ("completions", "messages"), Integer(0)),
    Parameter("max_completion_tokens", ("chat",), Integer(1)),
    Parameter("max_output_tokens", ("responses",), Integer(1)),
    Parameter("max_tool_calls", ("responses",), Integer(0)),
    Parameter("min_tokens", _LEGACY, Integer(0)),
    Parameter("n", _LEGACY, Integer(1, "max_n")),
    Parameter("best_of", _LEGACY, Integer(1, "max_n")),
    Parameter("logprobs", ("chat",), BOOLEAN),
    Parameter("logprobs", ("completions",), Integer(0, "max_logprobs")),
    Parameter("top_logprobs", _CHATS, Integer(0, "max_logprobs")),
    Parameter("prompt_logprobs", _LEGACY, Integer(0, "max_logprobs")),
    Parameter("logit_bias", _OPENAI, Checked(_BIASES, _BIAS, structured.check_logit_bias)),
    Parameter("seed", _OPENAI, Integer(-INT64 - 1)),
    Parameter("stop", _OPENAI, Strings("max_stop", "max_stop_chars", alone=True)),
    Parameter("stop_sequences", ("messages",), Strings(_STOP_SEQUENCES, "max_stop_chars")),
    Parameter("stop_token_ids", _OPENAI, Listed(_CANDIDATES, numbers=True)),
    Parameter("allowed_token_ids", _OPENAI, Listed(_CANDIDATES, numbers=True)),
    Parameter("logprob_token_ids", _OPENAI, Listed(_CANDIDATES, numbers=True)),
    Parameter("bad_words", _OPENAI, Strings(_CANDIDATES, "max_stop_chars")),
    Parameter("stream_options", _OPENAI, Checked("an object", _OBJECT, _check_stream_options)),
    Parameter("response_format", _LEGACY, Checked("an object with a type", _FORMAT, structured.check_format)),
    Parameter("text", ("responses",), Checked("an object", _OBJECT, structured.check_text)),
    Parameter("output_config", ("messages",), Checked("an object", _OBJECT, structured.check_output_config)),
    Parameter("output_format", ("messages",), Checked("an object", _FORMAT, structured.check_output_format)),
    Parameter("structured_outputs", _OPENAI, Checked(_SCHEMA, _OBJECT, structured.check_structured_outputs)),
    Parameter("guided_json", _LEGACY, Checked(_SCHEMA, {}, structured.check_schema_or_text)),
    Parameter("guided_regex", _LEGACY, Checked("a pattern", {"type": "string"}, structured.check_pattern)),
    Parameter("guided_whitespace_pattern", _LEGACY, Checked("a pattern", {"type": "string"}, structured.check_pattern)),
    Parameter("guided_grammar", _LEGACY, Checked("a grammar", {}, structured.check_grammar)),
    Parameter("guided_choice", _LEGACY, Listed(_CANDIDATES)),
    Parameter("tools", ("chat",), Checked(_TOOLS, _LIST, structured.check_chat_tools)),
    Parameter("tools", ("responses",), Checked(_TOOLS, _LIST, structured.check_responses_tools)),
    Parameter("tools", ("messages",), Checked(_TOOLS, _LIST, structured.check_messages_tools)),
    Parameter("functions", ("chat",), Checked(_TOOLS, _LIST, structured.check_functions)),
    Parameter("tool_choice", _CHATS, Checked(structured.CHOICES, _CHOICE, structured.check_tool_choice)),
    Parameter("tool_choice", ("messages",), Checked("an object", _FORMAT, structured.check_messages_tool_choice)),
    Parameter("parallel_tool_calls", _CHATS, BOOLEAN),
    Parameter("echo", ("completions",), BOOLEAN),
    Parameter("suffix", ("completions",), TEXT),
    Parameter("store", _CHATS, BOOLEAN),
    Parameter("background", ("responses",), BOOLEAN),
    Parameter("instructions", ("responses",), TextOr(Listed("max_messages"))),
    Parameter("previous_response_id", ("responses",), TEXT),
    Parameter("include", ("responses",), Strings(_CANDIDATES, "max_stop_chars")),
    Parameter("reasoning", ("responses",), OBJECT),
    Parameter("reasoning_effort", ("chat",), TEXT),
    Parameter("thinking", ("messages",), OBJECT),
    Parameter("metadata", _GENERATING, OBJECT),
    Parameter("service_tier", _GENERATING, TEXT),
    Parameter("user", (*_OPENAI, "embeddings"), TEXT),
    Parameter("system", ("messages",), TextOr(Listed("max_messages"))),
    Parameter("messages", ("chat", "messages", "tokenize"), Listed("max_messages")),
    Parameter("input", ("responses",), TextOr(Listed("max_messages"))),
    Parameter("input", ("embeddings",), Prompts("max_inputs")),
    Parameter("prompt", ("completions",), Prompts("max_prompts")),
    Parameter("prompt", ("tokenize",), TEXT),
    Parameter("encoding_format", ("embeddings",), OneOf(("float", "base64"))),
    Parameter("dimensions", ("embeddings",), Integer(1)),
    Parameter("documents", ("rerank", "score"), TextOr(Listed("max_inputs"))),
    Parameter("queries", ("score",), TextOr(Listed("max_inputs"))),
    Parameter("text_1", ("score",), TextOr(Listed("max_inputs"))),
    Parameter("text_2", ("score",), TextOr(Listed("max_inputs"))),
    Parameter("top_n", ("rerank",), Integer(0)),
)  # fmt: skip
"""Every checked parameter, besides `model`, `stream` and `routing`, which every relayed route has."""

_KINDS: Mapping[str, Mapping[str, Kind]] = {
    operation: {one.name: one.kind for one in PARAMETERS if operation in one.operations}
    for operation in {operation for one in PARAMETERS for operation in one.operations}
}


def check_parameters(operation: str, body: Mapping[str, Any], limits: InputLimits) -> None:
    """Raises `BadRequest` for the first parameter of `body` that is not what the table says."""
    kinds = _KINDS[operation]
    for name, value in body.items():
        if value is not None and name in kinds:
            kinds[name].check(name, value, limits)
    if "best_of" in body and (body["best_of"] or INT64) < (body.get("n") or 1):
        raise BadRequest("best_of: must be at least n", param="best_of")
