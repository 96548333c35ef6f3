"""A client that trusts nothing: asks the gateway over HTTP and keeps every byte, the way it ended, and when.

Knows the four generating protocols and the stand-in's scripts; judging the end of a stream is `endings`' business.
"""

import asyncio
import itertools
import json
import os
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from tests.error_answer import ErrorAnswer
from tests.faults.endings import Ending, Verdict, judge
from tests.faults.processes import LoneGateway

PATHS = {
    "chat": "/v1/chat/completions",
    "completions": "/v1/completions",
    "responses": "/v1/responses",
    "messages": "/v1/messages",
}
PROTOCOLS = tuple(PATHS)
PROMPT = "Sort 4 2 3."
LONG = " ".join(f"w{n}" for n in range(40))
"""An answer of forty words, for streams that are to be cut."""
PATIENCE_S = 60.0
_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Seen(ErrorAnswer):
    """One answer as the client saw it. Times in seconds since it asked; `ended_at`: monotonic seconds."""

    request_id: str
    protocol: str
    stream: bool
    status: int = 0
    """0: no answer at all."""
    headers: Mapping[str, str] = field(default_factory=dict)
    raw: bytes = b""
    clean: bool = False
    """Did the body end as HTTP says it should?"""
    first_byte_s: float | None = None
    took_s: float = 0.0
    ended_at: float = 0.0

    @property
    def verdict(self) -> Verdict:
        """Of a stream that began."""
        assert self.stream, "only streams are judged"
        assert self.status == 200, (self.status, self.raw)
        return judge(self.protocol, self.raw, clean=self.clean)

    @property
    def lies(self) -> bool:
        """A stream that looks finished and is not."""
        return self.stream and self.status == 200 and self.verdict.ending is Ending.LIE

    @property
    def good(self) -> bool:
        """A whole answer."""
        if self.stream:
            return self.status == 200 and self.verdict.ending is Ending.COMPLETE
        return self.status == 200 and self.clean and not self.json().get("error")

    @property
    def text(self) -> str:
        """What was generated, of a whole answer."""
        return self.verdict.text if self.stream else _TEXTS[self.protocol](self.json())

    def json(self) -> Any:
        """The body, decoded."""
        return json.loads(self.raw)

    def __str__(self) -> str:
        ending = self.verdict if self.stream and self.status == 200 else ""
        return f"{self.protocol} {'stream' if self.stream else 'unary'} {self.status} {ending} …{self.raw[-1200:]!r}"


_TEXTS: Mapping[str, Callable[[Any], str]] = {
    "chat": lambda body: str(body["choices"][0]["message"]["content"]),
    "completions": lambda body: str(body["choices"][0]["text"]),
    "responses": lambda body: str(body["output"][0]["content"][0]["text"]),
    "messages": lambda body: str(body["content"][0]["text"]),
}


def body_of(protocol: str, *, model: str, stream: bool, prompt: str = PROMPT, max_tokens: int = 64) -> dict[str, Any]:
    """The least body of a request."""
    turns = [{"role": "user", "content": prompt}]
    asked: dict[str, dict[str, Any]] = {
        "chat": {"messages": turns, "max_tokens": max_tokens},
        "completions": {"prompt": prompt, "max_tokens": max_tokens},
        "responses": {"input": prompt, "max_output_tokens": max_tokens},
        "messages": {"messages": turns, "max_tokens": max_tokens},
    }
    return {"model": model, "stream": stream, **asked[protocol]}


@dataclass(frozen=True, slots=True)
class Client:
    """Asks the gateway at `url` with `key`."""

    session: aiohttp.ClientSession
    url: str
    key: str

    async def ask(
        self,
        protocol: str = "chat",
        *,
        model: str = "auto",
        stream: bool = True,
        prompt: str = PROMPT,
        max_tokens: int = 64,
        script: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        on_byte: Callable[[], None] | None = None,
        **fields: Any,
    ) -> Seen:
        """One request, never an exception. `script`: for the stand-in; `on_byte` is called with the first byte."""
        body = body_of(protocol, model=model, stream=stream, prompt=prompt, max_tokens=max_tokens) | fields
        if script is not None:
            body["stand_in"] = dict(script)
        seen = _Progress(protocol, stream, on_byte)
        sent = {"authorization": f"Bearer {self.key}", "x-request-id": seen.request_id, **(headers or {})}
        try:
            async with asyncio.timeout(PATIENCE_S):
                async with self.session.post(self.url + PATHS[protocol], json=body, headers=sent) as response:
                    await seen.follow(response)
        except (aiohttp.ClientError, OSError):  # a timeout is one: refused, cut, or never ended
            pass
        return seen.over()

    async def ask_all(self, asked: Iterable[Mapping[str, Any]]) -> list[Seen]:
        """Several at once."""
        return list(await asyncio.gather(*(self.ask(**each) for each in asked)))


class _Progress:
    """An answer as it comes in."""

    def __init__(self, protocol: str, stream: bool, on_byte: Callable[[], None] | None) -> None:
        self.request_id = f"fault-{os.getpid()}-{next(_numbers)}"
        self._protocol, self._stream, self._on_byte = protocol, stream, on_byte
        self._began = time.monotonic()
        self._first: float | None = None
        self._status, self._headers, self._parts = 0, dict[str, str](), list[bytes]()
        self._clean = False

    async def follow(self, response: aiohttp.ClientResponse) -> None:
        self._status = response.status
        self._headers = {name.lower(): value for name, value in response.headers.items()}
        async for chunk in response.content.iter_any():
            if self._first is None and not chunk.startswith(b":"):
                self._first = time.monotonic() - self._began
                if self._on_byte is not None:
                    self._on_byte()
            self._parts.append(chunk)
        self._clean = True

    def over(self) -> Seen:
        now = time.monotonic()
        return Seen(
            self.request_id, self._protocol, self._stream, self._status, self._headers, b"".join(self._parts),
            self._clean, self._first, now - self._began, now,
        )  # fmt: skip


async def settled(gateway: LoneGateway, answers: Sequence[Seen]) -> dict[str, dict[str, Any]]:
    """The log line of every answer, by request id: each there exactly once. They are written just after the answer."""
    ids = {seen.request_id for seen in answers}
    await eventually(
        lambda: ids <= {line["request_id"] for line in gateway.lines()}, f"{len(ids)} requests to be settled"
    )
    lines = [line for line in gateway.lines() if line["request_id"] in ids]
    assert len(lines) == len(ids), "a request was settled more than once"
    return {line["request_id"]: line for line in lines}


async def eventually(condition: Callable[[], Any], what: str, within_s: float = 30.0, every_s: float = 0.02) -> float:
    """Poll a plain or async `condition` until it is true; how long that took, in seconds."""
    began = time.monotonic()
    while True:
        met = condition()
        if isinstance(met, Awaitable):
            met = await met
        if met:
            return time.monotonic() - began
        assert time.monotonic() - began < within_s, f"not within {within_s:g} s: {what}"
        await asyncio.sleep(every_s)
