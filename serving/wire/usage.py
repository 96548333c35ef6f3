"""Token counts as upstreams report them, in whole answers and in stream events of every relayed protocol. Pure."""

from collections.abc import Mapping
from typing import Any

from serving.record import Usage


def find_usage(data: Mapping[str, Any]) -> Mapping[str, Any]:
    """The usage object of an answer or a stream event of any relayed protocol; empty when there is none."""
    usage = data.get("usage")
    if isinstance(usage, dict):
        return usage
    for holder in (data.get("response"), data.get("message")):
        if isinstance(holder, dict) and isinstance(usage := holder.get("usage"), dict):
            return usage
    return {}


def merge_usage(usage: Usage, found: Mapping[str, Any]) -> None:
    """Take over what `found` reports. Messages report input first and output last, so absent fields change nothing."""
    get = found.get
    usage.input = _count(get("prompt_tokens")) or _count(get("input_tokens")) or usage.input
    usage.output = _count(get("completion_tokens")) or _count(get("output_tokens")) or usage.output
    details = get("prompt_tokens_details") or get("input_tokens_details")
    cached = _count(details.get("cached_tokens")) if isinstance(details, dict) else 0
    usage.cached = cached or _count(get("cache_read_input_tokens")) or usage.cached


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


def _count(value: object) -> int:
    return value if isinstance(value, int) and value > 0 and not isinstance(value, bool) else 0
