"""Asks one problem through the openai client, streamed or whole, and notes who answered, how soon and for how much.

Knows Millrace only by its headers and by the cost comment at the end of a stream, which SDKs skip.
"""

import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

import httpx2
import openai

from models.abacus.tasks import Problem, is_right

COST_COMMENT = b": x-millrace-cost-usd="
MAX_TOKENS = 64
TIMEOUT_S = 120.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a problem. `ttft_s`: to the first text of a stream, to the whole answer otherwise."""

    problem: Problem
    streamed: bool
    text: str = ""
    model: str = ""
    tier: str = ""
    stand_in: bool = False
    attempts: int = 0
    ttft_s: float = 0.0
    cost_usd: float = 0.0
    error: str = ""

    @property
    def right(self) -> bool:
        """Is it exactly the answer?"""
        return not self.error and is_right(self.problem, self.text)


class Client:
    """The openai client on one gateway. Retries are off: what failed is to be seen."""

    def __init__(self, url: str, key: str) -> None:
        http = openai.DefaultAsyncHttpxClient(event_hooks={"response": [_tap]}, trust_env=False)
        self._openai = openai.AsyncOpenAI(
            base_url=f"{url}/v1", api_key=key, max_retries=0, timeout=TIMEOUT_S, http_client=http
        )

    async def ask(self, problem: Problem, *, stream: bool) -> Answer:
        """Ask with `model: auto`, greedily. Never raises for what the gateway or the network does."""
        try:
            return await (self._streamed(problem) if stream else self._whole(problem))
        except openai.APIError as error:
            return Answer(problem, stream, error=f"{type(error).__name__}: {error}")

    async def close(self) -> None:
        """Close its connections."""
        await self._openai.close()

    async def _whole(self, problem: Problem) -> Answer:
        began = time.perf_counter()
        raw = await self._openai.chat.completions.with_raw_response.create(
            model="auto", messages=_messages(problem), temperature=0, max_tokens=MAX_TOKENS
        )
        text = raw.parse().choices[0].message.content or ""
        elapsed_s = time.perf_counter() - began
        return _answer(problem, raw.headers, text, elapsed_s, raw.headers.get("x-millrace-cost-usd"), streamed=False)

    async def _streamed(self, problem: Problem) -> Answer:
        began = time.perf_counter()
        raw = await self._openai.chat.completions.with_raw_response.create(
            model="auto", messages=_messages(problem), temperature=0, max_tokens=MAX_TOKENS, stream=True
        )
        text, ttft_s, finished = "", 0.0, False
        async for chunk in raw.parse():
            for choice in chunk.choices:
                text += choice.delta.content or ""
                finished = finished or choice.finish_reason is not None
            ttft_s = ttft_s or (time.perf_counter() - began if text else 0.0)
        if not finished:
            return Answer(problem, True, text, error="the stream ended without a finish reason")
        cost = raw.http_response.extensions.get("cost_usd")
        return _answer(problem, raw.headers, text, ttft_s, cost, streamed=True)


class _CostTap(httpx2.AsyncByteStream):
    """Passes a body on and remembers the cost comment in it."""

    def __init__(self, response: httpx2.Response) -> None:
        self._inner = response.stream
        self._extensions = response.extensions

    async def __aiter__(self) -> AsyncIterator[bytes]:
        rest = b""
        async for chunk in self._inner:  # type: ignore[union-attr]
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                if line.startswith(COST_COMMENT):
                    self._extensions["cost_usd"] = line.removeprefix(COST_COMMENT).strip().decode()
            yield chunk

    async def aclose(self) -> None:
        await self._inner.aclose()  # type: ignore[union-attr]


async def _tap(response: httpx2.Response) -> None:
    if response.headers.get("content-type", "").startswith("text/event-stream"):
        response.stream = _CostTap(response)


def _messages(problem: Problem) -> list[dict[str, str]]:
    return [{"role": "user", "content": problem.prompt}]


def _answer(
    problem: Problem, headers: Mapping[str, str], text: str, ttft_s: float, cost: str | None, *, streamed: bool
) -> Answer:
    return Answer(
        problem=problem,
        streamed=streamed,
        text=text,
        model=headers.get("x-millrace-model", "?"),
        tier=headers.get("x-millrace-tier", "?"),
        stand_in="x-millrace-stand-in" in headers,
        attempts=int(headers.get("x-millrace-attempts", 0)),
        ttft_s=ttft_s,
        cost_usd=float(cost or "nan"),
    )
