"""Clients that read streams while engines die, and what each made of the ending: raw bytes, and three real SDKs.

A stream that an SDK's loop leaves without an exception and without the protocol's own ending is a lie: the program
above it takes a truncated answer for a whole one.
"""

import asyncio
import json
import os
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import anthropic
import openai

from tests.faults.asking import PROTOCOLS, Client

COMPLETE, FAILED, ABRUPT, LIE, REFUSED = "complete", "failed", "abrupt", "lie", "refused"
NODE_DRIVER = Path(__file__).with_name("streams.mjs")


@dataclass(frozen=True, slots=True)
class Asked:
    """What every stream asks for: a model, a prompt, so many tokens, and what a stand-in shall do."""

    model: str
    prompt: str
    max_tokens: int
    extra: dict[str, object] = field(default_factory=dict)
    """Further fields of the body."""


Read = Callable[[], Awaitable[str]]
"""Reads one stream to its end; how it ended."""


def raw_reader(client: Client, asked: Asked) -> Read:
    """Judged by its bytes; the four protocols in turn."""
    turns = iter(range(10**9))

    async def read() -> str:
        seen = await client.ask(
            PROTOCOLS[next(turns) % len(PROTOCOLS)],
            model=asked.model, prompt=asked.prompt, max_tokens=asked.max_tokens, **asked.extra,
        )  # fmt: skip
        return seen.verdict.ending.value if seen.status == 200 else REFUSED if seen.status else ABRUPT

    return read


def openai_reader(client: openai.AsyncOpenAI, asked: Asked) -> Read:
    """openai-python, Chat Completions."""

    async def read() -> str:
        reason = None
        try:
            stream = await client.chat.completions.create(
                model=asked.model, messages=[{"role": "user", "content": asked.prompt}],
                max_tokens=asked.max_tokens, stream=True, extra_body=asked.extra,
            )  # fmt: skip
            async for chunk in stream:
                reason = reason or (chunk.choices[0].finish_reason if chunk.choices else None)
        except openai.APIStatusError:
            return REFUSED
        except openai.APIConnectionError:
            return ABRUPT
        except openai.APIError as error:
            return FAILED if error.code else LIE
        except OSError:
            return ABRUPT
        return COMPLETE if reason else LIE

    return read


def anthropic_reader(client: anthropic.AsyncAnthropic, asked: Asked) -> Read:
    """The Anthropic SDK, Messages."""

    async def read() -> str:
        reason, begun = None, False
        try:
            async for event in await client.messages.create(
                model=asked.model, messages=[{"role": "user", "content": asked.prompt}],
                max_tokens=asked.max_tokens, stream=True, extra_body=asked.extra,
            ):  # fmt: skip
                begun = True
                if event.type == "message_delta":
                    reason = event.delta.stop_reason
        except anthropic.APIStatusError:
            return FAILED if begun else REFUSED
        except (anthropic.APIConnectionError, OSError):
            return ABRUPT
        return COMPLETE if reason else LIE

    return read


async def read_many(read: Read, count: int, at_once: int) -> Counter[str]:
    """`count` streams, never more than `at_once` of them at a time: how many ended how."""
    left, endings = iter(range(count)), Counter[str]()

    async def one_after_another() -> None:
        for _ in left:
            endings[await read()] += 1

    await asyncio.gather(*(one_after_another() for _ in range(at_once)))
    return endings


async def node_reads(url: str, key: str, asked: Asked, count: int, at_once: int, modules: Path) -> Counter[str]:
    """openai-node in a process of its own: how many of its streams ended how."""
    given = {
        "baseURL": f"{url}/v1", "apiKey": key, "count": count, "atOnce": at_once,
        "body": {"model": asked.model, "messages": [{"role": "user", "content": asked.prompt}],
                 "max_tokens": asked.max_tokens, "stream": True} | asked.extra,
    }  # fmt: skip
    env = {"PATH": os.environ["PATH"], "GIVEN": json.dumps(given), "MODULES": str(modules / "package.json")}
    process = await asyncio.create_subprocess_exec(
        "node", str(NODE_DRIVER), env=env, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    said, complaint = await process.communicate()
    assert process.returncode == 0, complaint.decode()
    return Counter(json.loads(said.splitlines()[-1]))


@dataclass(slots=True)
class Clients:
    """The SDKs, opened once."""

    openai: openai.AsyncOpenAI
    anthropic: anthropic.AsyncAnthropic


async def sdk_clients(url: str, key: str) -> AsyncIterator[Clients]:
    """Without retries of their own: what is counted is what the gateway did."""
    async with (
        openai.AsyncOpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0, timeout=60) as first,
        anthropic.AsyncAnthropic(base_url=url, api_key=key, max_retries=0, timeout=60) as second,
    ):
        yield Clients(first, second)
