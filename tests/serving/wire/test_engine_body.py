"""What an engine is not sent, and what it is: tools, choices, records of hosted tools, encrypted reasoning."""

from typing import Any

import pytest

from serving.wire.engine_body import engine_body

FUNCTION = {"type": "function", "name": "add", "parameters": {"type": "object"}}
CHAT_FUNCTION = {"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}
CLIENT_TOOL = {"name": "add", "input_schema": {"type": "object"}}
NAMESPACE = {"type": "namespace", "name": "agents", "description": "", "tools": [FUNCTION]}
GRAMMAR = {"type": "custom", "name": "patch", "format": {"type": "grammar", "syntax": "lark", "definition": "x"}}
BASH = {"type": "bash_20250124", "name": "bash"}
USER = {"role": "user", "content": "7 + 5"}


def fitted(operation: str, *, thinks: bool = False, **body: Any) -> dict[str, Any]:
    return dict(engine_body(operation, body, thinks=thinks))


def test_a_body_without_any_of_it_is_left_alone() -> None:
    body = {"messages": [USER], "temperature": 0, "new_field": {"a": [1]}}
    for operation in ("chat", "completions", "messages", "embeddings"):
        assert engine_body(operation, body, thinks=False) == body


def test_the_given_body_is_never_changed() -> None:
    body = {"input": [{"type": "web_search_call"}], "tools": [{"type": "web_search"}], "include": ["new"]}
    engine_body("responses", body, thinks=False)
    assert body == {"input": [{"type": "web_search_call"}], "tools": [{"type": "web_search"}], "include": ["new"]}


@pytest.mark.parametrize(
    ("operation", "tool", "hosted"),
    [
        ("chat", CHAT_FUNCTION, {"type": "custom", "custom": {"name": "c"}}),
        ("chat", CHAT_FUNCTION, {"type": "web_search_preview"}),
        ("responses", FUNCTION, {"type": "web_search"}),
        ("responses", NAMESPACE, {"type": "teleport", "name": "x"}),
        ("messages", CLIENT_TOOL, {"type": "web_search_20250305", "name": "web_search"}),
        ("messages", {"type": "custom", **CLIENT_TOOL}, BASH),
    ],
)
def test_tools_that_run_at_the_provider_are_left_out(
    operation: str, tool: dict[str, Any], hosted: dict[str, Any]
) -> None:
    assert fitted(operation, tools=[hosted, tool])["tools"] == [tool]
    assert fitted(operation, tools=[hosted], tool_choice="auto") == {}


def test_a_grammar_is_left_out_of_a_custom_tool() -> None:
    assert fitted("responses", tools=[GRAMMAR])["tools"] == [{"type": "custom", "name": "patch"}]


@pytest.mark.parametrize(
    ("operation", "tools", "choice", "becomes"),
    [
        ("chat", [CHAT_FUNCTION], {"type": "function", "function": {"name": "add"}}, "same"),
        ("chat", [CHAT_FUNCTION], "required", "same"),
        ("chat", [CHAT_FUNCTION], {"type": "function", "function": {"name": "nobody"}}, "same"),
        ("chat", [CHAT_FUNCTION, {"type": "custom", "name": "c"}], {"type": "custom", "custom": {"name": "c"}}, "auto"),
        ("responses", [FUNCTION, {"type": "web_search"}], {"type": "web_search"}, "auto"),
        ("responses", [FUNCTION, {"type": "mcp", "name": "m"}], {"type": "function", "name": "m"}, "auto"),
        ("responses", [NAMESPACE], {"type": "function", "name": "agents__add"}, "same"),
        ("messages", [CLIENT_TOOL], {"type": "tool", "name": "add"}, "same"),
        ("messages", [CLIENT_TOOL, BASH], {"type": "tool", "name": "bash"}, {"type": "auto"}),
    ],
)  # fmt: skip
def test_a_choice_of_what_is_left_out_is_auto(
    operation: str, tools: list[dict[str, Any]], choice: Any, becomes: Any
) -> None:
    assert fitted(operation, tools=tools, tool_choice=choice)["tool_choice"] == (
        choice if becomes == "same" else becomes
    )


@pytest.mark.parametrize("body", [{"tool_choice": "auto"}, {"tools": []}, {"tools": "add"}, {"tools": ["add"]}])
def test_what_the_client_got_wrong_is_for_the_engine_to_refuse(body: dict[str, Any]) -> None:
    assert fitted("chat", **body) == body


@pytest.mark.parametrize(
    ("operation", "choice"),
    [
        ("chat", {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [CHAT_FUNCTION]}}),
        ("responses", {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "add"}]}),
    ],
)
def test_allowed_tools_are_the_tools(operation: str, choice: dict[str, Any]) -> None:
    other = {"type": "function", "name": "other", "function": {"name": "other"}}
    own = CHAT_FUNCTION if operation == "chat" else FUNCTION
    sent = fitted(operation, tools=[own, other], tool_choice=choice)
    assert sent == {"tools": [own], "tool_choice": "required"}
    assert fitted(operation, tools=[own], tool_choice=choice | {"mode": "odd"})["tool_choice"] == "auto"


def test_include_and_service_tier_are_cut_to_what_vllm_knows() -> None:
    sent = fitted(
        "responses", include=["web_search_call.action.sources", "reasoning.encrypted_content"], service_tier="x"
    )
    assert sent == {"include": ["reasoning.encrypted_content"]}
    assert fitted("responses", service_tier="flex") == {"service_tier": "flex"}


@pytest.mark.parametrize(
    "item",
    [
        {"type": "web_search_call", "id": "w", "status": "completed"},
        {"type": "local_shell_call_output", "output": "x"},
        {"type": "teleport"},
        {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "abc"},
    ],
)
def test_records_of_hosted_work_are_left_out_of_the_input(item: dict[str, Any]) -> None:
    assert fitted("responses", input=[item, USER])["input"] == [USER]


@pytest.mark.parametrize(
    "item",
    [
        {"type": "item_reference", "id": "msg_1"},
        {"type": "compaction", "encrypted_content": "x"},
        {"type": "function_call", "call_id": "c", "name": "add", "arguments": "{}"},
        {"type": "reasoning", "summary": []},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "12"}]},
        {"type": "message", "role": "assistant", "content": "12"},
        {"type": ["odd"]},
        "odd",
    ],
)
def test_other_items_stay_as_they_are(item: Any) -> None:
    assert fitted("responses", input=[item])["input"] == [item]


def test_readable_reasoning_stays() -> None:
    summary = [{"type": "summary_text", "text": "add them"}]
    item = {"type": "reasoning", "summary": summary, "encrypted_content": "abc"}
    assert fitted("responses", input=[item])["input"] == [{"type": "reasoning", "summary": summary}]


def test_an_assistants_parts_and_refusals_become_one_text() -> None:
    parts = [{"type": "output_text", "text": "7 + 5 "}, {"type": "refusal", "refusal": "no"}]
    item = {"type": "message", "role": "assistant", "id": "msg_1", "content": parts}
    assert fitted("responses", input=[item])["input"] == [
        {"type": "message", "role": "assistant", "content": "7 + 5 no"}
    ]


def test_records_of_server_tools_are_left_out_of_messages() -> None:
    text = {"type": "text", "text": "12"}
    own = {"type": "tool_result", "tool_use_id": "b", "content": "12"}
    blocks = [{"type": "server_tool_use", "id": "a"}, {"type": "web_search_tool_result", "tool_use_id": "a"}, text, own]
    sent = fitted("messages", messages=[USER, {"role": "assistant", "content": blocks}, "odd"])
    assert sent["messages"] == [USER, {"role": "assistant", "content": [text, own]}, "odd"]


def test_a_thinking_budget_goes_only_to_engines_that_think() -> None:
    thinking = {"type": "enabled", "budget_tokens": 1024}
    assert fitted("messages", thinking=thinking) == {}
    assert fitted("messages", thinks=True, thinking=thinking) == {"thinking": thinking}


@pytest.mark.parametrize(
    ("n", "temperature", "sent"), [(2, 0, 0.01), (2, 0.0, 0.01), (1, 0, 0), (2, 1, 1), (None, 0, 0)]
)
def test_several_answers_are_never_greedy(n: int | None, temperature: float, sent: float) -> None:
    for operation in ("chat", "completions"):
        assert fitted(operation, n=n, temperature=temperature)["temperature"] == sent
