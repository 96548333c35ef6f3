"""What of a request only a hosted API understands, and how the rest is put for vLLM, which refuses what it lacks.

Tools that run at the provider (web search, file search, shells), records of their work, encrypted reasoning and new
values of `include` pass untouched to hosted APIs; an engine gets the request without them. Nothing that a model must
read is left out: a document, a stored item or a compacted conversation is still refused by the engine. Knows wire
formats, no models; the body it is given is never changed.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from serving.wire.tool_choice import Dialect, cut_tools

Body: TypeAlias = dict[str, Any]

_INCLUDE = frozenset(
    {
        "code_interpreter_call.outputs",
        "computer_call_output.output.image_url",
        "file_search_call.results",
        "message.input_image.image_url",
        "message.output_text.logprobs",
        "reasoning.encrypted_content",
    }
)
LEAST_TEMPERATURE = 0.01
"""vLLM rounds anything between 0 and this up to it."""
_SERVICE_TIERS = ("auto", "default", "flex", "scale", "priority")
_READ_ITEMS = frozenset(
    {"message", "function_call", "function_call_output", "custom_tool_call", "custom_tool_call_output", "reasoning"}
)
_MUST_READ_ITEMS = frozenset({"item_reference", "compaction"})
"""Left in, for the engine to refuse: they stand for text that the answer depends on."""
_SERVER_BLOCKS = ("server_tool_use", "mcp_tool_use", "mcp_tool_result")
_SERVER_RESULT = "_tool_result"
_CHAT_TOOLS = Dialect(lambda tool: tool.get("type", "function") == "function", ("function",))
_RESPONSES_TOOLS = Dialect(lambda tool: tool.get("type") in ("function", "custom", "namespace"), ("function", "custom"))
_MESSAGES_TOOLS = Dialect(
    lambda tool: tool.get("type", "custom") == "custom", ("auto", "any", "tool", "none"), auto={"type": "auto"}
)


def engine_body(operation: str, body: Mapping[str, Any], *, thinks: bool) -> Mapping[str, Any]:
    """The body for a vLLM engine. `thinks`: the engine has a reasoning parser, without which it refuses a budget."""
    change = _CHANGES.get(operation)
    if change is None:
        return body
    changed = dict(body)
    change(changed)
    if operation == "messages" and not thinks:
        changed.pop("thinking", None)
    return changed


def _chat(body: Body) -> None:
    cut_tools(body, _CHAT_TOOLS)
    _warm(body)


def _warm(body: Body) -> None:
    """Several answers at temperature 0, which vLLM refuses and others give: all but greedy ones."""
    if body.get("temperature") == 0 and isinstance(body.get("n"), int) and body["n"] > 1:
        body["temperature"] = LEAST_TEMPERATURE


def _responses(body: Body) -> None:
    cut_tools(body, _RESPONSES_TOOLS)
    _map(body, "tools", _free_form)
    if isinstance(body.get("include"), list):
        body["include"] = [name for name in body["include"] if not isinstance(name, str) or name in _INCLUDE]
    if body.get("service_tier", "auto") not in _SERVICE_TIERS:
        del body["service_tier"]
    if isinstance(body.get("input"), list):
        body["input"] = [each for item in body["input"] if (each := _item(item)) is not None]


def _messages(body: Body) -> None:
    cut_tools(body, _MESSAGES_TOOLS)
    _map(body, "messages", _without_server_blocks)


_CHANGES: Mapping[str, Callable[[Body], None]] = {
    "chat": _chat, "completions": _warm, "responses": _responses, "messages": _messages,
}  # fmt: skip


def _free_form(tool: Any) -> Any:
    """A custom tool without its grammar, which vLLM refuses: the model may still call it with any text."""
    if isinstance(tool, dict) and tool.get("type") == "custom" and "format" in tool:
        return {key: value for key, value in tool.items() if key != "format"}
    return tool


def _item(item: Any) -> Any | None:
    """One input item, or None for a record of what a hosted tool did."""
    if not isinstance(item, dict):
        return item
    kind = item.get("type", "message")
    if not isinstance(kind, str) or kind in _MUST_READ_ITEMS:
        return item
    if kind not in _READ_ITEMS:
        return None
    if kind == "reasoning":
        return _readable_reasoning(item)
    if kind == "message" and item.get("role") == "assistant":
        return _one_part(item)
    return item


def _readable_reasoning(item: Body) -> Body | None:
    """Reasoning without what only its maker can decrypt; None when nothing readable remains."""
    if not item.get("encrypted_content"):
        return item
    if not item.get("summary") and not item.get("content"):
        return None
    return {key: value for key, value in item.items() if key != "encrypted_content"}


def _one_part(item: Body) -> Body:
    """An assistant's turn as one text: vLLM reads the first part alone and fails on a refusal."""
    parts = item.get("content")
    if not isinstance(parts, list) or not all(isinstance(part, dict) for part in parts):
        return item
    texts = [part.get("refusal") or part.get("text") for part in parts]
    if not all(isinstance(text, str) for text in texts) or (len(parts) == 1 and "refusal" not in parts[0]):
        return item
    return {"type": "message", "role": "assistant", "content": "".join(text for text in texts if text)}


def _without_server_blocks(message: Any) -> Any:
    if not isinstance(message, dict) or not isinstance(message.get("content"), list):
        return message
    kept = [block for block in message["content"] if not _server_block(block)]
    return message if len(kept) == len(message["content"]) else {**message, "content": kept}


def _server_block(block: Any) -> bool:
    kind = block.get("type") if isinstance(block, dict) else None
    return isinstance(kind, str) and (kind in _SERVER_BLOCKS or kind.endswith(_SERVER_RESULT))


def _map(body: Body, name: str, change: Callable[[Any], Any]) -> None:
    items: Sequence[Any] | None = body.get(name)
    if isinstance(items, list):
        body[name] = [change(item) for item in items]
