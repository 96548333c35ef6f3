"""Reads one streamed chat answer as a client does: text parts, then what the stream and its headers say about it.

Standard library only. A stream that ends without a finish reason and `[DONE]` was cut short, whatever its status.
"""

import json
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from serving.cluster.direct_http import opened
from serving.cluster.ray_head import ClusterError

COST_COMMENT = ": x-millrace-cost-usd="
DONE = "data: [DONE]"


@dataclass(slots=True)
class StreamedAnswer:
    """What is known besides the text; filled while `parts` is being read."""

    headers: Mapping[str, str] = field(default_factory=dict)
    cost_usd: str = ""
    finish: str = ""
    done: bool = False
    error: str = ""

    @property
    def complete(self) -> bool:
        """Did it end as a whole answer ends?"""
        return self.done and bool(self.finish) and not self.error

    def parts(self, lines: Iterable[bytes]) -> Iterator[str]:
        """The text, part by part, from the lines of the stream. A line without its end was cut and says nothing."""
        for raw in lines:
            if not raw.endswith(b"\n"):
                return
            line = raw.decode().rstrip("\r\n")
            if line.startswith(COST_COMMENT):
                self.cost_usd = line.removeprefix(COST_COMMENT)
            elif line == DONE:
                self.done = True
            elif line.startswith("data: "):
                yield self._frame(json.loads(line.removeprefix("data: ")))

    def _frame(self, frame: Mapping[str, Any]) -> str:
        if "error" in frame:
            self.error = frame["error"].get("message", "the answer failed")
            return ""
        for choice in frame.get("choices", ()):
            self.finish = choice.get("finish_reason") or self.finish
            return choice.get("delta", {}).get("content") or ""
        return ""


def stream_chat(
    url: str, key: str, body: Mapping[str, Any], answer: StreamedAnswer, *, timeout_s: float
) -> Iterator[str]:
    """Ask the gateway at `url` and yield the answer's text. Raises `ClusterError` when it refuses or goes away."""
    request = urllib.request.Request(
        f"{url}/v1/chat/completions",
        data=json.dumps({**body, "stream": True}).encode(),
        headers={"authorization": f"Bearer {key}", "content-type": "application/json"},
    )
    try:
        with opened(request, timeout_s=timeout_s) as response:
            answer.headers = {name.lower(): value for name, value in response.headers.items()}
            yield from answer.parts(response)
    except urllib.error.HTTPError as error:
        raise ClusterError(f"refused ({error.code}): {_message(error.read())}") from error
    except OSError as error:
        raise ClusterError(f"{url} cannot be reached or went away: {error}") from error


def _message(body: bytes) -> str:
    try:
        return str(json.loads(body)["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return body.decode(errors="replace")[:200]
