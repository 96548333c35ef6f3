"""A 4xx body of an upstream, in the shape the client's own API has: OpenAI's four keys, or Anthropic's.

Pure. Knows the shapes that engines, hosted APIs and frameworks answer with; of anything else only the status goes on.
"""

import re
from collections.abc import Mapping
from typing import Any

import msgspec

ANTHROPIC_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
}
"""Status → Anthropic's name for it; every other 4xx is an `invalid_request_error`."""
MAX_MESSAGE_CHARS = 2000
"""The longest message that is passed on: upstreams quote whole bodies in theirs."""

_NAME = re.compile(r"[a-z][a-z0-9_.]{0,63}")
_TOO_LONG = re.compile(r"maximum context length|context window|maximum (model|input) length", re.IGNORECASE)
_RETRIED = (408, 409, 429)


def client_error(body: bytes, status: int, *, anthropic: bool) -> bytes:
    """`body` as the client's API would have said it. What is in that shape already keeps its words and its code."""
    message, kind, param, code = _read(body, status)
    if anthropic:
        named = kind if kind in ANTHROPIC_TYPES.values() else ANTHROPIC_TYPES.get(status, "invalid_request_error")
        return msgspec.json.encode({"type": "error", "error": {"type": named, "message": message}})
    error = {"message": message, "type": kind or "invalid_request_error", "param": param, "code": code}
    return msgspec.json.encode({"error": error})


def retry_header(status: int) -> Mapping[str, str]:
    """`x-should-retry: false`, unless the same request may be answered later."""
    return {} if status in _RETRIED or status >= 500 else {"x-should-retry": "false"}


def _read(body: bytes, status: int) -> tuple[str, str | None, str | None, str]:
    """Message, type, param and code."""
    said = _object(body)
    error = said.get("error", said)
    if isinstance(error, str):
        error = {"message": error}
    if not isinstance(error, dict):
        error = {}
    message = _message(error) or f"the model refused the request with status {status}"
    return message, _name(error.get("type")), _text(error.get("param")), _code(error, message)


def _object(body: bytes) -> dict[str, Any]:
    try:
        said = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}


def _message(error: Mapping[str, Any]) -> str:
    """Of OpenAI's and Anthropic's shape, of FastAPI's `detail` (a text, or a list of what is wrong where)."""
    said = error.get("message") or error.get("detail")
    if isinstance(said, list):
        said = "; ".join(str(one.get("msg", "")) for one in said if isinstance(one, dict))
    return said[:MAX_MESSAGE_CHARS] if isinstance(said, str) else ""


def _code(error: Mapping[str, Any], message: str) -> str:
    """The upstream's code where it is a name; a prompt that is too long has OpenAI's, which clients act on."""
    given = _name(error.get("code"))
    if given:
        return given
    return "context_length_exceeded" if _TOO_LONG.search(message) else "invalid_request"


def _name(value: Any) -> str | None:
    """`value` if it reads like one of OpenAI's names, not like a class or a number."""
    return value if isinstance(value, str) and _NAME.fullmatch(value) else None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None
