"""Clients that close their connections in the middle of long answers, and how soon the engine has let go of them.

Time runs from the closing of the connections to the arrival of the first `/metrics` that shows nothing unfinished, so
it contains one poll too many rather than one too few. A round in which the engine was not at work is refused; one in
which it does not let go ends at a limit and is counted with it.
"""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

from benchmarks.recovery.asking import PATH, request
from benchmarks.recovery.engines import Load

CLIENTS = 4
"""Connections of a round: enough to reach both gateway replicas."""
ANSWER_TOKENS = 900
MIDST_TOKENS = 25
"""Tokens an answer has, on average, when its client leaves."""
PROMPT = "Count the letters in apple."
POLL_S = 0.01
LIMIT_S = 20.0

Read = Callable[[], Awaitable[Load]]


class RoundError(Exception):
    """A round that measured nothing; the message says why."""


@dataclass(frozen=True, slots=True)
class Door:
    """Where clients knock: the gateway's URL, a key for it, and the model they want."""

    url: str
    key: str
    model: str


@dataclass(frozen=True, slots=True)
class Round:
    """What one round saw. `generated`: tokens until the engine let go, of `wanted`."""

    stream: bool
    gone_s: float
    polls: int
    unfinished_before: float
    generated: float
    wanted: int = CLIENTS * ANSWER_TOKENS

    @property
    def share(self) -> float:
        """The share of the answers that was generated; 1: they ended by themselves."""
        return self.generated / self.wanted


async def leave(door: Door, read: Read, *, stream: bool) -> Round:
    """Open the connections, wait until the engine works on all, close them. Raises `RoundError`."""
    idle = await reached(read, lambda load: load.unfinished == 0, "an idle engine")
    connections = [await _knock(door, stream=stream) for _ in range(CLIENTS)]
    try:
        if stream:
            await asyncio.wait_for(asyncio.gather(*(_first_text(reader) for reader, _ in connections)), LIMIT_S)
        amid = idle.generated + CLIENTS * MIDST_TOKENS
        busy = await reached(
            read, lambda load: load.unfinished >= CLIENTS and load.generated >= amid, f"{CLIENTS} requests at work"
        )
    finally:
        for _, writer in connections:
            writer.close()
    closed_at = time.perf_counter()
    after, polls = await until(read, lambda load: load.unfinished == 0)
    gone_s = time.perf_counter() - closed_at
    return Round(stream, gone_s, polls, busy.unfinished, after.generated - idle.generated)


async def reached(read: Read, condition: Callable[[Load], bool], what: str) -> Load:
    """The first load for which `condition` holds. Raises `RoundError` after `LIMIT_S`."""
    load, _ = await until(read, condition)
    if not condition(load):
        raise RoundError(f"waited {LIMIT_S:g} s for {what}; it shows {load.unfinished:g} unfinished requests")
    return load


async def until(read: Read, condition: Callable[[Load], bool]) -> tuple[Load, int]:
    """Poll until `condition` holds, or for `LIMIT_S`: the load then, and the polls it took."""
    deadline = time.perf_counter() + LIMIT_S
    load, polls = await read(), 1
    while not condition(load) and time.perf_counter() < deadline:
        await asyncio.sleep(POLL_S)
        load, polls = await read(), polls + 1
    return load, polls


async def _knock(door: Door, *, stream: bool) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection of its own with the request sent and nothing read."""
    address = urlsplit(door.url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    writer.write(message(door, stream=stream))
    await writer.drain()
    return reader, writer


def message(door: Door, *, stream: bool) -> bytes:
    """The bytes of a request for `ANSWER_TOKENS` tokens, not fewer."""
    asked = request(
        door.model, PROMPT, stream=stream, max_tokens=ANSWER_TOKENS, min_tokens=ANSWER_TOKENS, ignore_eos=True
    )
    body = json.dumps(asked).encode()
    head = [
        f"POST {PATH} HTTP/1.1",
        f"host: {urlsplit(door.url).netloc}",
        f"authorization: Bearer {door.key}",
        "content-type: application/json",
        f"content-length: {len(body)}",
    ]
    return "\r\n".join([*head, "", ""]).encode() + body


async def _first_text(reader: asyncio.StreamReader) -> None:
    """Until the stream flows. Raises `RoundError` when another status came."""
    status = await reader.readline()
    if b" 200 " not in status:
        raise RoundError(f"a stream was refused: {status.decode(errors='replace').strip()}")
    await reader.readuntil(b"data:")
