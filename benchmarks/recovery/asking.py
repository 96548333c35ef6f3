"""Asks one concrete model for a short answer, streamed or whole, and says exactly what was wrong with it.

An answer is good when it is complete and by the model asked for; whether it is right is not judged here.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp

from benchmarks.recovery.engines import bearer

PATH = "/v1/chat/completions"
TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one answer's prompt; `cached`: how many of them were read from the prefix cache."""

    prompt: int
    cached: int


class Asker:
    """A client of one gateway."""

    def __init__(self, http: aiohttp.ClientSession, url: str, key: str) -> None:
        self._http = http
        self._url = url + PATH
        self._headers = bearer(key)

    async def failure(self, model: str, prompt: str, *, stream: bool) -> str:
        """Ask; what went wrong, empty when nothing did. Never raises for what the gateway or the network does."""
        try:
            status, by, body = await self._ask(model, prompt, stream=stream)
        except (aiohttp.ClientError, TimeoutError) as error:
            return f"{type(error).__name__}: {error}"
        if status != 200:
            return f"{status}: {body.decode(errors='replace')[:200]}"
        if by != model:
            return f"answered by {by}"
        return "" if complete(body, stream=stream) else "the answer is incomplete"

    async def usage(self, model: str, prompt: str) -> Usage:
        """The usage of a whole answer. Raises ValueError when there is none."""
        status, _, body = await self._ask(model, prompt, stream=False)
        if status != 200:
            raise ValueError(f"{model} answered {status}: {body.decode(errors='replace')[:200]}")
        return usage_in(json.loads(body))

    async def _ask(self, model: str, prompt: str, *, stream: bool) -> tuple[int, str | None, bytes]:
        body = request(model, prompt, stream=stream, max_tokens=32)
        limit = aiohttp.ClientTimeout(total=TIMEOUT_S)
        async with self._http.post(self._url, json=body, headers=self._headers, timeout=limit) as answer:
            return answer.status, answer.headers.get("x-millrace-model"), await answer.read()


def request(model: str, prompt: str, *, stream: bool, max_tokens: int, **more: Any) -> dict[str, Any]:
    """The body of a chat request, greedy."""
    messages = [{"role": "user", "content": prompt}]
    asked = {"model": model, "messages": messages, "temperature": 0, "max_tokens": max_tokens, "stream": stream}
    return asked | more


def usage_in(answer: Mapping[str, Any]) -> Usage:
    """The usage an answer shows. Raises ValueError when it does not say how much was cached."""
    try:
        usage = answer["usage"]
        return Usage(usage["prompt_tokens"], usage["prompt_tokens_details"]["cached_tokens"])
    except (KeyError, TypeError) as error:
        raise ValueError(f"no cached_tokens in usage: {answer.get('usage')}") from error


def complete(body: bytes, *, stream: bool) -> bool:
    """Does the answer end as it should: with a finish reason and, streamed, with [DONE]?"""
    frames = [line.removeprefix(b"data:").strip() for line in body.splitlines() if line.startswith(b"data:")]
    if stream and (not frames or frames.pop() != b"[DONE]"):
        return False
    try:
        answers = [json.loads(part) for part in (frames if stream else [body])]
    except ValueError:
        return False
    choices = [choice for answer in answers for choice in answer.get("choices", ())]
    return any(choice.get("finish_reason") for choice in choices) and not any("error" in answer for answer in answers)
