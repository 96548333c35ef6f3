"""Sends drawn requests to a gateway, several at once, and keeps count of what it answered.

Whatever is sent, three things are wrong: a 5xx, no answer in time, and an error that is not in the route's shape.
"""

import asyncio
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import TracebackType

import aiohttp

from serving.wire.routes import RELAYED
from tests.faults.bodies import Asked
from tests.faults.processes import Behind, engine_model, hosted_model

PATIENCE_S = 60.0
"""No request of a fuzz takes that long, unless it hangs."""
KEYS = {"message", "type", "param", "code"}


@dataclass(slots=True)
class Tally:
    """What was answered. `wrong`: a line for each request that went wrong."""

    statuses: Counter[int] = field(default_factory=Counter)
    by_path: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    @property
    def requests(self) -> int:
        """How many were sent."""
        return sum(self.statuses.values())

    @property
    def server_errors(self) -> int:
        """How many answers were a 5xx."""
        return sum(count for status, count in self.statuses.items() if status >= 500)

    @property
    def hangs(self) -> int:
        """How many had no answer in time."""
        return self.statuses[0]

    def note(self, asked: Asked, status: int, body: bytes) -> None:
        """Count an answer; status 0 stands for none."""
        self.statuses[status] += 1
        self.by_path[asked.path] += 1
        if status == 0 or status >= 500:
            self.wrong.append(f"{status} {body[:300]!r} for {asked!r}")
        elif status >= 400 and not _well_shaped(asked.path, body):
            self.wrong.append(f"{status} in a shape of its own, {body[:300]!r}, for {asked!r}")


class Fuzzer:
    """Asks the gateway at `url`; a context manager, for code without an event loop of its own."""

    def __init__(self, url: str, key: str) -> None:
        self.tally = Tally()
        self._url = url
        self._headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
        self._runner = asyncio.Runner()
        self._session: aiohttp.ClientSession | None = None

    def __enter__(self) -> "Fuzzer":
        self._runner.__enter__()
        self._session = self._runner.run(self._open())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            self._runner.run(self._session.close())
        self._runner.__exit__(kind, error, trace)

    async def _open(self) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=PATIENCE_S), headers=self._headers)

    def send(self, batch: Sequence[Asked]) -> None:
        """Send all of `batch` at once and count the answers."""
        self._runner.run(self._send_all(batch))

    async def _send_all(self, batch: Sequence[Asked]) -> None:
        await asyncio.gather(*(self._send(one) for one in batch))

    async def _send(self, asked: Asked) -> None:
        assert self._session is not None
        try:
            async with self._session.post(self._url + asked.path, data=asked.raw) as response:
                self.tally.note(asked, response.status, await response.read())
        except (aiohttp.ClientError, TimeoutError) as error:
            self.tally.note(asked, 0, repr(error).encode())


def behind_a_fuzz(url: str) -> Behind:
    """One stand-in as two engines and a hosted API: `small`, `embed` and `cloud`."""
    small, embed = engine_model("small", "small"), engine_model("embed", "embed")
    small["capabilities"] += ["logprobs", "tokenize"]
    embed |= {"task": "embed", "capabilities": ["embeddings", "rerank", "score", "tokenize"]}
    embed["engine"] = {"huggingface": "nobody/nothing", "revision": "none"}
    cloud = hosted_model("cloud", "large", url)
    return Behind([small, cloud, embed], {"small": [url], "embed": [url]})


def _well_shaped(path: str, body: bytes) -> bool:
    """Is it an error as the route's clients know it?"""
    try:
        said = json.loads(body)
    except ValueError:
        return False
    if RELAYED[path].anthropic:
        return set(said) >= {"type", "error"} and set(said["error"]) >= {"type", "message"}
    return set(said) == {"error"} and set(said["error"]) == KEYS
