"""Every checked parameter: what real clients send passes, what no upstream takes is refused with field and fix."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from models.spec import OPERATIONS
from serving.errors import BadRequest
from serving.wire.limits import DEFAULTS, InputLimits
from serving.wire.parameters import PARAMETERS, Parameter, check_parameters

FUNCTION = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}
SCHEMA = {"type": "object", "properties": {"a": {"type": "string", "pattern": "^a+$"}}}
NAMED = {"name": "answer", "schema": SCHEMA, "strict": True}
IDS = [f"{one.name} of {', '.join(one.operations)}" for one in PARAMETERS]

PASS: dict[str, tuple[str, dict[str, Any]]] = {
    "opencode": ("chat", {"max_tokens": 32000, "temperature": 0, "top_p": 1, "tools": [FUNCTION], "tool_choice": "auto",
                          "stream_options": {"include_usage": True}}),
    "codex": ("responses", {"store": False, "include": ["reasoning.encrypted_content"], "prompt_cache_key": "k",
                            "client_metadata": {"a": 1}, "parallel_tool_calls": False,
                            "reasoning": {"effort": "medium", "summary": "auto"}, "instructions": "be brief",
                            "tool_choice": "auto", "text": {"verbosity": "low"}, "tools": [
                                {"type": "function", "name": "shell", "strict": False, "parameters": SCHEMA},
                                {"type": "namespace", "name": "mcp", "tools": [
                                    {"type": "function", "name": "g", "parameters": SCHEMA}]},
                                {"type": "web_search", "external_web_access": False}]}),
    "ai-sdk": ("chat", {"max_tokens": 4096, "response_format": {"type": "json_schema", "json_schema": NAMED},
                        "tool_choice": {"type": "function", "function": {"name": "f"}}, "seed": 0, "user": "u"}),
    "claude": ("messages", {"max_tokens": 32000, "temperature": 1, "system": [{"type": "text", "text": "x"}],
                            "thinking": {"type": "enabled", "budget_tokens": 1024}, "metadata": {"user_id": "u"},
                            "stop_sequences": ["</a>"] * 8, "tools": [
                                {"name": "f", "input_schema": SCHEMA}, {"type": "bash_20250124", "name": "bash"},
                                {"type": "custom", "name": "g", "input_schema": SCHEMA}],
                            "tool_choice": {"type": "tool", "name": "f", "disable_parallel_tool_use": True},
                            "output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}}),
    "lm-eval": ("completions", {"prompt": [[1, 2, 3], [4, 5]], "max_tokens": 0, "logprobs": 1, "echo": True,
                                "seed": 1234, "temperature": 0}),
    "openai embeddings": ("embeddings", {"input": ["a", "b"], "encoding_format": "base64", "dimensions": 64}),
    "langchain embeddings": ("embeddings", {"input": [[1, 2], [3]], "encoding_format": None}),
    "one prompt of ids": ("embeddings", {"input": list(range(5000))}),
    "nulls": ("chat", dict.fromkeys({one.name for one in PARAMETERS})),
    "vllm extras": ("chat", {"top_k": -1, "min_p": 0.1, "repetition_penalty": 1.1,
                             "structured_outputs": {"regex": "a|b"}, "guided_json": json.dumps(SCHEMA),
                             "logit_bias": {"50256": -100, "1": 1.5}}),
    "whole floats": ("chat", {"max_tokens": 10.0, "n": 2.0, "top_logprobs": 0.0}),
    "unknown format": ("chat", {"response_format": {"type": "yaml"}}),
    "unknown choice": ("chat", {"tool_choice": {"type": "allowed_tools", "allowed_tools": {}}}),
    "custom tool": ("chat", {"tools": [{"type": "custom", "custom": {"name": "c", "format": {"type": "text"}}}]}),
    "functions": ("chat", {"functions": [{"name": "f", "parameters": SCHEMA}], "function_call": "auto"}),
    "text format": ("responses", {"text": {"format": {"type": "json_schema", **NAMED}}}),
    "responses choice": ("responses", {"tool_choice": {"type": "function", "name": "f"}}),
    "rerank": ("rerank", {"documents": ["a", {"text": "b"}], "top_n": 1}),
}  # fmt: skip


@pytest.mark.parametrize(("operation", "fields"), PASS.values(), ids=PASS.keys())
def test_what_clients_send_passes(operation: str, fields: dict[str, Any]) -> None:
    check_parameters(operation, fields, DEFAULTS)


REFUSED: dict[str, tuple[str, dict[str, Any], str, str]] = {
    "temperature high": ("chat", {"temperature": 2.1}, "temperature", "a number from 0 to 2, not 2.1"),
    "temperature text": ("chat", {"temperature": "hot"}, "temperature", 'not "hot"'),
    "temperature true": ("chat", {"temperature": True}, "temperature", "not true"),
    "temperature of messages": ("messages", {"temperature": 1.5}, "temperature", "from 0 to 1"),
    "top_p": ("completions", {"top_p": -0.1}, "top_p", "from 0 to 1"),
    "penalty": ("responses", {"presence_penalty": 3}, "presence_penalty", "from -2 to 2"),
    "max_tokens none": ("chat", {"max_tokens": 0}, "max_tokens", "an integer of at least 1, not 0"),
    "max_tokens a fraction": ("chat", {"max_tokens": 10.5}, "max_tokens", "an integer"),
    "max_tokens huge": ("chat", {"max_tokens": 10**30}, "max_tokens", "an integer"),
    "max_output_tokens": ("responses", {"max_output_tokens": -1}, "max_output_tokens", "at least 1"),
    "n": ("chat", {"n": 17}, "n", "an integer from 1 to 16 (setting max_n)"),
    "n none": ("completions", {"n": 0}, "n", "from 1 to 16"),
    "best_of": ("completions", {"best_of": 17}, "best_of", "from 1 to 16"),
    "best_of below n": ("completions", {"best_of": 1, "n": 2}, "best_of", "at least n"),
    "logprobs of chat": ("chat", {"logprobs": 5}, "logprobs", "true or false, not 5"),
    "logprobs of completions": ("completions", {"logprobs": True}, "logprobs", "from 0 to 20"),
    "logprobs -1": ("completions", {"logprobs": -1}, "logprobs", "from 0 to 20"),
    "top_logprobs": ("chat", {"top_logprobs": 21}, "top_logprobs", "setting max_logprobs"),
    "seed": ("chat", {"seed": 2**63}, "seed", "a 64-bit integer"),
    "stop many": ("chat", {"stop": ["a"] * 5}, "stop", "at most 4 strings"),
    "stop long": ("chat", {"stop": "a" * 257}, "stop", "at most 256 characters"),
    "stop a number": ("chat", {"stop": [1]}, "stop", "a string or a list"),
    "stop_sequences a string": ("messages", {"stop_sequences": "a"}, "stop_sequences", "a list of at most 32"),
    "bias keys": ("chat", {"logit_bias": {"hello": 1}}, "logit_bias", "token ids"),
    "bias value": ("chat", {"logit_bias": {"7": 101}}, "logit_bias.7", "from -100 to 100, not 101"),
    "bias list": ("chat", {"logit_bias": []}, "logit_bias", "an object of token ids"),
    "bias many": ("chat", {"logit_bias": {str(at): 1 for at in range(1025)}}, "logit_bias", "setting max_logit_bias"),
    "stream_options": ("chat", {"stream_options": []}, "stream_options", "an object"),
    "include_usage": ("chat", {"stream_options": {"include_usage": "yes"}}, "stream_options.include_usage", "true"),
    "format text": ("chat", {"response_format": "json"}, "response_format", "an object with a type"),
    "format typeless": ("chat", {"response_format": {}}, "response_format.type", "a string"),
    "schema missing": ("chat", {"response_format": {"type": "json_schema"}}, "response_format.json_schema", "name and"),
    "schema nameless": ("chat", {"response_format": {"type": "json_schema", "json_schema": {"schema": {}}}},
                        "response_format.json_schema.name", "non-empty string"),
    "schema absent": ("chat", {"response_format": {"type": "json_schema", "json_schema": {"name": "a"}}},
                      "response_format.json_schema.schema", "missing"),
    "schema a text": ("chat", {"response_format": {"type": "json_schema", "json_schema": NAMED | {"schema": "{}"}}},
                      "response_format.json_schema.schema", "a JSON schema, an object"),
    "strict": ("chat", {"response_format": {"type": "json_schema", "json_schema": NAMED | {"strict": "yes"}}},
               "response_format.json_schema.strict", "true or false"),
    "text": ("responses", {"text": "json"}, "text", "an object"),
    "text.format": ("responses", {"text": {"format": {"type": "json_schema"}}}, "text.format.name", "non-empty"),
    "output_config": ("messages", {"output_config": []}, "output_config", "an object"),
    "output_format": ("messages", {"output_format": {"type": "json_schema"}}, "output_format.schema", "a JSON schema"),
    "tools an object": ("chat", {"tools": {}}, "tools", "a list of objects"),
    "tool a text": ("chat", {"tools": ["f"]}, "tools[0]", "an object"),
    "tools many": ("chat", {"tools": [FUNCTION] * 129}, "tools", "over the limit of 128 (setting max_tools)"),
    "function missing": ("chat", {"tools": [{"type": "function"}]}, "tools[0].function", "an object with a name"),
    "function nameless": ("chat", {"tools": [FUNCTION, {"type": "function", "function": {}}]},
                          "tools[1].function.name", "non-empty"),
    "function strict": ("chat", {"tools": [{"type": "function", "function": {"name": "f", "strict": 1}}]},
                        "tools[0].function.strict", "true or false"),
    "parameters": ("chat", {"tools": [{"type": "function", "function": {"name": "f", "parameters": []}}]},
                   "tools[0].function.parameters", "a JSON schema"),
    "responses function": ("responses", {"tools": [{"type": "function"}]}, "tools[0].name", "non-empty"),
    "messages tool": ("messages", {"tools": [{"input_schema": {}}]}, "tools[0].name", "non-empty"),
    "nested tool": ("responses", {"tools": [{"type": "namespace", "tools": [{"parameters": 1}]}]},
                    "tools[0].tools[0].parameters", "a JSON schema"),
    "custom grammar": ("responses", {"tools": [{"type": "custom", "name": "c", "format": {"definition": "x" * 20000}}]},
                       "tools[0].format", "setting max_grammar_chars"),
    "choice": ("chat", {"tool_choice": "maybe"}, "tool_choice", '"required" or an object, not "maybe"'),
    "choice a list": ("chat", {"tool_choice": []}, "tool_choice", "an object, not an empty list"),
    "choice nameless": ("chat", {"tool_choice": {"type": "function"}}, "tool_choice", "must name the function"),
    "messages choice": ("messages", {"tool_choice": "auto"}, "tool_choice", 'such as {"type": "auto"}'),
    "messages choice nameless": ("messages", {"tool_choice": {"type": "tool"}}, "tool_choice.name", "name of a tool"),
    "structured": ("chat", {"structured_outputs": {"regex": "(" * 21}}, "structured_outputs.regex", "nests over 20"),
    "structured list": ("chat", {"structured_outputs": []}, "structured_outputs", "an object"),
    "guided json": ("chat", {"guided_json": "{"}, "guided_json", "not valid JSON"),
    "guided regex": ("chat", {"guided_regex": "a" * 4097}, "guided_regex", "setting max_pattern_chars"),
    "guided regex a number": ("chat", {"guided_regex": 7}, "guided_regex", "a string, not 7"),
    "pattern in a schema": ("chat", {"guided_json": {"items": [{"pattern": "a" * 4097}]}}, "guided_json", "a pattern"),
    "pattern as a name": ("chat", {"guided_json": {"patternProperties": {"(" * 30: {}}}}, "guided_json", "nests"),
    "schema large": ("chat", {"guided_json": {"description": "a" * 70000}}, "guided_json", "setting max_schema_bytes"),
    "schema deep": ("chat", {"guided_json": '{"a":' * 40 + "1" + "}" * 40}, "guided_json", "max_schema_depth"),
    "parallel": ("chat", {"parallel_tool_calls": "no"}, "parallel_tool_calls", "true or false"),
    "user": ("chat", {"user": 5}, "user", "a string, not 5"),
    "metadata": ("responses", {"metadata": []}, "metadata", "an object"),
    "encoding": ("embeddings", {"encoding_format": "int8"}, "encoding_format", '"float" or "base64"'),
    "dimensions": ("embeddings", {"dimensions": 0}, "dimensions", "at least 1"),
    "inputs": ("embeddings", {"input": ["a"] * 2049}, "input", "at most 2048 prompts (setting max_inputs)"),
    "prompts": ("completions", {"prompt": ["a"] * 129}, "prompt", "at most 128 prompts"),
    "prompt of ids": ("completions", {"prompt": [1, -2]}, "prompt", "token ids only"),
    "prompt of mixed ids": ("completions", {"prompt": [1, "a"]}, "prompt", "token ids only"),
    "prompt with an empty one": ("completions", {"prompt": ["a", []]}, "prompt[1]", "a list of token ids"),
    "prompt a number": ("completions", {"prompt": [1.5]}, "prompt[0]", "a string or a list of token ids"),
    "prompt an object": ("completions", {"prompt": {}}, "prompt", "a string, or a list"),
    "messages": ("chat", {"messages": [{"role": "user"}] * 4097}, "messages", "not 4097 of them"),
    "input items": ("responses", {"input": [{}] * 4097}, "input", "setting max_messages"),
    "documents": ("rerank", {"documents": ["d"] * 2049}, "documents", "setting max_inputs"),
    "token lists": ("chat", {"stop_token_ids": [True]}, "stop_token_ids", "integers from 0 on"),
}  # fmt: skip


@pytest.mark.parametrize(("operation", "fields", "param", "says"), REFUSED.values(), ids=REFUSED.keys())
def test_what_is_wrong_is_named(operation: str, fields: dict[str, Any], param: str, says: str) -> None:
    with pytest.raises(BadRequest) as caught:
        check_parameters(operation, fields, DEFAULTS)
    assert caught.value.param == param
    assert caught.value.message.startswith(f"{param}: ")
    assert says in caught.value.message


def test_limits_are_the_operators() -> None:
    check_parameters("chat", {"n": 3}, InputLimits(max_n=3))
    with pytest.raises(BadRequest, match="from 1 to 2"):
        check_parameters("chat", {"n": 3}, InputLimits(max_n=2))


def test_the_table_names_known_operations_and_each_parameter_once_for_each() -> None:
    pairs = [(one.name, operation) for one in PARAMETERS for operation in one.operations]
    assert len(set(pairs)) == len(pairs)
    assert {operation for _, operation in pairs} == set(OPERATIONS)


@pytest.mark.parametrize("parameter", PARAMETERS, ids=IDS)
def test_every_parameter_is_described_in_words_and_as_a_schema(parameter: Parameter) -> None:
    assert parameter.kind.says(DEFAULTS)
    Draft202012Validator.check_schema(parameter.kind.schema(DEFAULTS))


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=9)
    | st.sampled_from(["function", "json_schema", "auto", "custom"]),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(["type", "name", "function", "schema", "format", "tools", "json", "pattern"])
                      | st.text(max_size=3), inner, max_size=4),
    max_leaves=10,
)  # fmt: skip


@pytest.mark.parametrize("parameter", PARAMETERS, ids=IDS)
@settings(max_examples=25)
@given(value=values)
def test_any_value_passes_or_is_a_bad_request_and_its_schema_lets_pass_what_passes(
    parameter: Parameter, value: Any
) -> None:
    for operation in parameter.operations:
        try:
            check_parameters(operation, {parameter.name: value}, DEFAULTS)
        except BadRequest:
            continue
        valid = Draft202012Validator(parameter.kind.schema(DEFAULTS)).is_valid(value)
        assert valid or value is None or value in ([], {}) or parameter.name in LOOSER


LOOSER = {"input", "prompt", "tool_choice"}
"""Where more passes than is documented: objects among the prompts, choices that a table of words would not show."""
