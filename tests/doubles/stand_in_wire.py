"""The bodies of the stand-in, in the shape of each API: one whole answer, or a list of SSE frames.

Knows nothing of sockets or faults. Deterministic: the same request body gives the same bytes. Every body names itself
a stand-in, in its model name and its `system_fingerprint`.
"""

import base64
import hashlib
import json
import re
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.doubles.abacus_answers import answer

FINGERPRINT = "stand-in"
UNKNOWN_PROMPT = "I am a stand-in for a hosted model and only know Abacus problems."
CREATED_S = 1_700_000_000
DONE = b"data: [DONE]\n\n"
EMBEDDING_SIZE = 8

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Answer:
    """What is said, word by word, and how it is counted (one word is one token here)."""

    id: str
    model: str
    words: Sequence[str]
    prompt_tokens: int
    finish_reason: str
    counted: bool = True
    """False leaves usage out of the body."""
    written: int | None = None
    """Instead of the number of words."""

    @property
    def text(self) -> str:
        """The whole answer."""
        return "".join(self.words)

    @property
    def output_tokens(self) -> int:
        """As reported."""
        return len(self.words) if self.written is None else self.written

    @property
    def usage(self) -> Json:
        """Counts in the shape of chat and completions."""
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.output_tokens,
            "total_tokens": self.prompt_tokens + self.output_tokens,
            "prompt_tokens_details": {"cached_tokens": 0},
        }


def answer_to(body: Json, *, text: str | None = None, counted: bool = True) -> Answer:
    """Answer `body`; `text` replaces what the solver says. `max_tokens` cuts it as a real model would."""
    prompt = prompt_of(body)
    said = text if text is not None else answer(_last_line(prompt)) or UNKNOWN_PROMPT
    words = re.findall(r"\S+\s*|\s+", said)
    limit = next(
        (int(body[key]) for key in ("max_tokens", "max_completion_tokens", "max_output_tokens") if body.get(key)), None
    )
    cut = limit is not None and limit < len(words)
    return Answer(
        id=hashlib.blake2b(json.dumps(body, sort_keys=True).encode(), digest_size=8).hexdigest(),
        model=stand_in_name(str(body.get("model", ""))),
        words=words[:limit],
        prompt_tokens=max(1, len(prompt.split())),
        finish_reason="length" if cut else "stop",
        counted=counted,
    )


def stand_in_name(model: str) -> str:
    """The name answers go by: `model` if it says that it is a stand-in, else one that does."""
    return model if "stand-in" in model else f"stand-in-for-{model}"


def prompt_of(body: Json) -> str:
    """The last user turn, prompt or input of a request."""
    turns = body.get("messages") or body.get("input") or body.get("prompt") or ""
    if isinstance(turns, list):
        turns = turns[-1] if turns else ""
    content = turns.get("content", "") if isinstance(turns, dict) else turns
    if isinstance(content, list):
        content = "\n".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return str(content)


def _last_line(prompt: str) -> str:
    lines = prompt.strip().splitlines()
    return lines[-1] if lines else ""


def event(payload: Json, name: str | None = None) -> bytes:
    """One SSE frame."""
    head = f"event: {name}\n" if name else ""
    return f"{head}data: {json.dumps(payload, separators=(',', ':'))}\n\n".encode()


def error_body(message: str, *, kind: str, code: str | None) -> Json:
    """An error in OpenAI's shape, all four keys present."""
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def error_event(path: str) -> bytes:
    """A scripted error in the middle of a stream, in the shape of the API at `path`."""
    message, code = "The stand-in failed as scripted.", "scripted_error"
    if path.endswith("/messages"):
        return event({"type": "error", "error": {"type": "api_error", "message": message}}, "error")
    if path.endswith("/responses"):
        response = {"object": "response", "status": "failed", "error": {"code": code, "message": message}}
        return event({"type": "response.failed", "response": response}, "response.failed")
    return event(error_body(message, kind="server_error", code=code))


def models(names: Sequence[str]) -> Json:
    """`GET /v1/models`."""
    entries = [{"id": name, "object": "model", "created": CREATED_S, "owned_by": "stand-in"} for name in names]
    return {"object": "list", "data": entries}


def _head(said: Answer, kind: str, prefix: str) -> Json:
    return {
        "id": f"{prefix}-{said.id}",
        "object": kind,
        "created": CREATED_S,
        "model": said.model,
        "system_fingerprint": FINGERPRINT,
    }


def chat(said: Answer) -> Json:
    """A whole `chat.completion`."""
    message = {"role": "assistant", "content": said.text, "refusal": None}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": said.finish_reason}
    return _with_usage(_head(said, "chat.completion", "chatcmpl") | {"choices": [choice]}, said)


def chat_frames(said: Answer, *, usage: bool) -> list[bytes]:
    """Role first, one word each, finish_reason, usage if asked, [DONE]."""
    head = _head(said, "chat.completion.chunk", "chatcmpl")
    deltas: list[Json] = [{"role": "assistant", "content": ""}, *({"content": word} for word in said.words)]
    frames = [event(head | {"choices": [_chat_choice(delta, None)]}) for delta in deltas]
    frames.append(event(head | {"choices": [_chat_choice({}, said.finish_reason)]}))
    return [*frames, *_usage_frame(head, said, usage), DONE]


def tool_frames(said: Answer, tool: str) -> list[bytes]:
    """A call of `tool`: its name first, its arguments word by word, finish_reason `tool_calls`, [DONE]."""
    head = _head(said, "chat.completion.chunk", "chatcmpl")
    call = {"index": 0, "id": f"call_{said.id}", "type": "function", "function": {"name": tool, "arguments": ""}}
    pieces = json.dumps({"text": said.text}).split(" ")
    deltas: list[Json] = [{"role": "assistant", "content": None, "tool_calls": [call]}]
    deltas += [{"tool_calls": [{"index": 0, "function": {"arguments": piece + " "}}]} for piece in pieces]
    frames = [event(head | {"choices": [_chat_choice(delta, None)]}) for delta in deltas]
    return [*frames, event(head | {"choices": [_chat_choice({}, "tool_calls")]}), DONE]


def _chat_choice(delta: Json, finish_reason: str | None) -> Json:
    return {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}


def completion(said: Answer) -> Json:
    """A whole `text_completion`."""
    choice = {"index": 0, "text": said.text, "logprobs": None, "finish_reason": said.finish_reason}
    return _with_usage(_head(said, "text_completion", "cmpl") | {"choices": [choice]}, said)


def completion_frames(said: Answer, *, usage: bool) -> list[bytes]:
    """One word each, finish_reason, usage if asked, [DONE]."""
    head = _head(said, "text_completion", "cmpl")
    parts: list[tuple[str, str | None]] = [*((word, None) for word in said.words), ("", said.finish_reason)]
    choices = ({"index": 0, "text": word, "logprobs": None, "finish_reason": reason} for word, reason in parts)
    return [*(event(head | {"choices": [choice]}) for choice in choices), *_usage_frame(head, said, usage), DONE]


def _with_usage(body: Json, said: Answer) -> Json:
    return body | {"usage": said.usage} if said.counted else body


def _usage_frame(head: Json, said: Answer, usage: bool) -> list[bytes]:
    return [event(head | {"choices": [], "usage": said.usage})] if usage and said.counted else []


def embeddings(body: Json) -> Json:
    """Unit-free vectors drawn from a hash of each input."""
    inputs = body.get("input", "")
    items = inputs if isinstance(inputs, list) and not all(isinstance(i, int) for i in inputs) else [inputs]
    data = [
        {"object": "embedding", "index": index, "embedding": _vector(item, body.get("encoding_format"))}
        for index, item in enumerate(items)
    ]
    tokens = sum(max(1, len(str(item).split())) for item in items)
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return {"object": "list", "data": data, "model": stand_in_name(str(body.get("model", ""))), "usage": usage}


def _vector(item: object, encoding: str | None) -> list[float] | str:
    digest = hashlib.blake2b(json.dumps(item).encode(), digest_size=EMBEDDING_SIZE).digest()
    values = [byte / 127.5 - 1.0 for byte in digest]
    return base64.b64encode(struct.pack(f"<{EMBEDDING_SIZE}f", *values)).decode() if encoding == "base64" else values


def response(said: Answer, *, status: str = "completed") -> Json:
    """A `response` object of the Responses API."""
    done = status == "completed"
    return {
        "id": f"resp_{said.id}",
        "object": "response",
        "created_at": CREATED_S,
        "status": status,
        "error": None,
        "incomplete_details": None,
        "model": said.model,
        "system_fingerprint": FINGERPRINT,
        "output": [_output_item(said, "completed", [_text_part(said.text)])] if done else [],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": _responses_usage(said) if done and said.counted else None,
    }


def response_frames(said: Answer) -> list[bytes]:
    """The nine kinds of event in the order clients accept, `sequence_number` without gaps."""
    item = {"output_index": 0}
    part = {"item_id": f"msg_{said.id}", "output_index": 0, "content_index": 0}
    events: list[tuple[str, Mapping[str, Any]]] = [
        ("response.created", {"response": response(said, status="in_progress")}),
        ("response.in_progress", {"response": response(said, status="in_progress")}),
        ("response.output_item.added", item | {"item": _output_item(said, "in_progress", [])}),
        ("response.content_part.added", part | {"part": _text_part("")}),
        *(("response.output_text.delta", part | {"delta": word, "logprobs": []}) for word in said.words),
        ("response.output_text.done", part | {"text": said.text, "logprobs": []}),
        ("response.content_part.done", part | {"part": _text_part(said.text)}),
        ("response.output_item.done", item | {"item": _output_item(said, "completed", [_text_part(said.text)])}),
        ("response.completed", {"response": response(said)}),
    ]
    return [event({"type": name, "sequence_number": n, **payload}, name) for n, (name, payload) in enumerate(events)]


def _text_part(text: str) -> Json:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _output_item(said: Answer, status: str, content: list[Json]) -> Json:
    return {"id": f"msg_{said.id}", "type": "message", "role": "assistant", "status": status, "content": content}


def _responses_usage(said: Answer) -> Json:
    return {
        "input_tokens": said.prompt_tokens,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": said.output_tokens,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": said.prompt_tokens + said.output_tokens,
    }


def message(said: Answer) -> Json:
    """A whole Anthropic `message`."""
    usage = {"input_tokens": said.prompt_tokens, "output_tokens": said.output_tokens}
    return _message_head(said) | {
        "content": [{"type": "text", "text": said.text}],
        "stop_reason": _stop_reason(said),
        "usage": usage,
    }


def message_frames(said: Answer) -> list[bytes]:
    """The event order of Anthropic's Messages API."""
    start = _message_head(said) | {"usage": {"input_tokens": said.prompt_tokens, "output_tokens": 0}}
    delta = {"stop_reason": _stop_reason(said), "stop_sequence": None}
    events: list[tuple[str, Mapping[str, Any]]] = [
        ("message_start", {"message": start}),
        ("content_block_start", {"index": 0, "content_block": {"type": "text", "text": ""}}),
        *(("content_block_delta", {"index": 0, "delta": {"type": "text_delta", "text": w}}) for w in said.words),
        ("content_block_stop", {"index": 0}),
        ("message_delta", {"delta": delta, "usage": {"output_tokens": said.output_tokens}}),
        ("message_stop", {}),
    ]
    return [event({"type": name, **payload}, name) for name, payload in events]


def _stop_reason(said: Answer) -> str:
    return "end_turn" if said.finish_reason == "stop" else "max_tokens"


def _message_head(said: Answer) -> Json:
    return {
        "id": f"msg_{said.id}",
        "type": "message",
        "role": "assistant",
        "model": said.model,
        "system_fingerprint": FINGERPRINT,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
    }
