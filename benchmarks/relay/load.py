"""The load: a closed loop of requests over kept-alive connections, for a fixed time. A process of its own.

    python -m benchmarks.relay.load '{"port": …, "path": …, "body": {…}, "headers": {…}, …}'

Prints one JSON line. Does as little as it can per answer, so that it is not what is measured: framing is parsed in C,
every answer's status is checked, and its whole text on the first of each connection.
"""

import asyncio
import json
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, cast

import httptools
import uvloop


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one run did. `cpu_share`: this process's own use of one core, 0 to 1."""

    answers: int
    failures: int
    seconds: float
    cpu_share: float
    first_failure: str | None

    @property
    def per_second(self) -> float:
        """Good answers per second."""
        return self.answers / self.seconds


class Boundary:
    """What the parser tells of an answer whose text nobody reads: that it is complete."""

    def __init__(self, on_message_complete: Callable[[], None]) -> None:
        self.on_message_complete = on_message_complete


class Connection(asyncio.Protocol):
    """Sends `request` again and again, as soon as each answer is complete."""

    def __init__(self, request: bytes, *, ending: bytes) -> None:
        self._request = request
        self._ending = ending
        self._parser = httptools.HttpResponseParser(self)
        self._boundary = Boundary(self.on_message_complete)
        self._seen: list[bytes] | None = []
        self.answers = 0
        self.failures = 0
        self.first_failure: str | None = None
        self.stopped = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        self._transport = cast(asyncio.WriteTransport, transport)  # uvloop's own class has no such base
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        self._parser.feed_data(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        if not self.stopped:
            self._fail(f"the connection was lost: {exc}")

    def on_body(self, body: bytes) -> None:
        """A part of the body, from the parser."""
        if self._seen is not None:
            self._seen.append(body)

    def on_message_complete(self) -> None:
        """The answer is complete, from the parser: count it, ask again."""
        if self._parser.get_status_code() != 200:
            self._fail(f"status {self._parser.get_status_code()}: {b''.join(self._seen or [])[:200]!r}")
        elif self._seen is not None and not b"".join(self._seen).endswith(self._ending):
            self._fail(f"the answer ends with {b''.join(self._seen)[-60:]!r}, not {self._ending!r}")
        else:
            self.answers += 1
            self._seen = None
        if not self.stopped:
            self._parser = httptools.HttpResponseParser(self if self._seen is not None else self._boundary)
            self._transport.write(self._request)

    def stop(self) -> None:
        """Send nothing more."""
        self.stopped = True
        self._transport.close()

    def _fail(self, why: str) -> None:
        self.failures += 1
        self.first_failure = self.first_failure or why


async def run(order: dict[str, Any]) -> Outcome:
    """Load `127.0.0.1:port` for `seconds` with `connections` closed loops."""
    ending = b"data: [DONE]\n\n" if order["body"].get("stream") else b"}"
    request = raw_request(order["path"], order["headers"], json.dumps(order["body"], separators=(",", ":")).encode())
    loop = asyncio.get_running_loop()
    started, cpu = time.perf_counter(), _cpu_s()
    links = [
        (await loop.create_connection(lambda: Connection(request, ending=ending), "127.0.0.1", order["port"]))[1]
        for _ in range(order["connections"])
    ]
    await asyncio.sleep(order["seconds"])
    seconds, cpu = time.perf_counter() - started, _cpu_s() - cpu
    for link in links:
        link.stop()
    return Outcome(
        answers=sum(link.answers for link in links),
        failures=sum(link.failures for link in links),
        seconds=seconds,
        cpu_share=cpu / seconds,
        first_failure=next((link.first_failure for link in links if link.first_failure), None),
    )


def raw_request(path: str, headers: dict[str, str], body: bytes) -> bytes:
    """The bytes of one POST."""
    fields = {"host": "127.0.0.1", "content-type": "application/json", "content-length": str(len(body)), **headers}
    lines = [f"POST {path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items()), "", ""]
    return "\r\n".join(lines).encode() + body


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    print(json.dumps(asdict(uvloop.run(run(json.loads(sys.argv[1]))))))
