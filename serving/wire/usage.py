"""Token counts as upstreams report them, in whole answers and in stream events of every relayed protocol. Pure."""

from collections.abc import Mapping
from typing import Any

from serving.record import Usage


def find_usage(data: Mapping[str, Any]) -> Mapping[str, Any]:
    """The usage object of an answer or a stream event of any relayed protocol; empty when there is none."""
    for holder in (data, data.get("response"), data.get("message")):
        if isinstance(holder, dict) and isinstance(holder.get("usage"), dict):
            usage: Mapping[str, Any] = holder["usage"]
            return usage
    return {}


def merge_usage(usage: Usage, found: Mapping[str, Any]) -> None:
    """Take over what `found` reports. Messages report input first and output last, so absent fields change nothing."""
    usage.input = _count(found, "prompt_tokens", "input_tokens") or usage.input
    usage.output = _count(found, "completion_tokens", "output_tokens") or usage.output
    details = found.get("prompt_tokens_details") or found.get("input_tokens_details")
    cached = _count(details, "cached_tokens") if isinstance(details, dict) else 0
    usage.cached = cached or _count(found, "cache_read_input_tokens") or usage.cached


BYTES_PER_TOKEN = 4
"""What a token of running text comes to in most tokenizers. A rule of thumb, for want of a count."""


def estimate(usage: Usage, body: Mapping[str, Any], *, output: int) -> Usage:
    """`usage` with a guess in place of what is missing: the text of `body` for the input, `output` as it is."""
    guess = -(-_text_bytes(body) // BYTES_PER_TOKEN)
    return Usage(usage.input or guess, usage.cached, usage.output or output, estimated=True)


def _text_bytes(value: object) -> int:
    """The length of all text in a request; what is embedded in it as `data:` is no text."""
    if isinstance(value, str):
        return 0 if value.startswith("data:") else len(value.encode(errors="replace"))
    if isinstance(value, Mapping):
        return sum(map(_text_bytes, value.values()))
    return sum(map(_text_bytes, value)) if isinstance(value, list) else 0


def _count(found: Mapping[str, Any], *names: str) -> int:
    for name in names:
        value = found.get(name)
        if isinstance(value, int) and not isinstance(value, bool) and value > 0:
            return value
    return 0
