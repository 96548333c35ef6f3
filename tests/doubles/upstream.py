"""An `Upstream` without a network: scripted answers, and a record of what was sent.

Keeps the contract of `serving.upstreams.upstream` (tests/contracts/test_upstream.py holds it to that), so a unit test
of the gateway can trust it. Runs out of answers by repeating the last one.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from routing.picker import Replica
from serving.errors import UpstreamDisconnected, UpstreamFailed, UpstreamTimeout
from serving.upstreams.roster import Roster
from serving.upstreams.upstream import UpstreamRequest
from tests.doubles import stand_in_wire as wire
from tests.doubles.hosted_api import GARBAGE, SHAPES
from tests.doubles.stand_in_script import Script

Step = Callable[[UpstreamRequest], "FakeAnswer"]


@dataclass(frozen=True, slots=True)
class FakeAnswer:
    """One scripted exchange: head, then `chunks`, then `ending`."""

    chunks: Sequence[bytes] = ()
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=lambda: {"content-type": "application/json"})
    refusal: UpstreamFailed | None = None
    """Raised by `send` instead of a head."""
    hang: bool = False
    """No head ever: `UpstreamTimeout` after the fake's `silence_s`, unless cancelled before."""
    cut: bool = False
    """The connection breaks after `chunks`."""
    stall: bool = False
    """Nothing follows `chunks`: `UpstreamTimeout` after `silence_s`."""
    delay_head_s: float = 0.0
    delay_chunk_s: float = 0.0


def chat_answer(text: str, *, model: str = "fake") -> FakeAnswer:
    """A whole chat completion that says `text`."""
    return FakeAnswer([json.dumps(wire.chat(wire.answer_to({"model": model}, text=text))).encode()])


def chat_stream(text: str, *, model: str = "fake", usage: bool = True) -> FakeAnswer:
    """A chat completion that says `text` word by word, with the usage chunk by default, one frame a chunk."""
    frames = wire.chat_frames(wire.answer_to({"model": model}, text=text), usage=usage)
    return FakeAnswer(frames, headers={"content-type": "text/event-stream"})


def refusing(error: UpstreamFailed) -> FakeAnswer:
    """No answer: `send` raises `error`."""
    return FakeAnswer(refusal=error)


def following(script: Script) -> Step:
    """The answer the stand-in server gives under `script`, without the server."""

    def step(request: UpstreamRequest) -> FakeAnswer:
        if script.status != 200:
            return _error(script)
        chunks, kind = _body(script, request)
        return FakeAnswer(
            chunks[: script.stop],
            headers={"content-type": kind},
            hang=script.hang,
            cut=script.stop is not None and script.stop == script.cut_after,
            stall=script.stop is not None and script.stop == script.stall_after,
            delay_head_s=script.delay_head_s,
            delay_chunk_s=script.delay_chunk_s,
        )

    return step


def _error(script: Script) -> FakeAnswer:
    body = wire.error_body(f"The fake answers {script.status} as scripted.", kind="server_error", code="scripted")
    headers = {"content-type": "application/json"}
    if script.retry_after is not None:
        headers["retry-after"] = script.retry_after
    return FakeAnswer([json.dumps(body).encode()], status=script.status, headers=headers)


def _body(script: Script, request: UpstreamRequest) -> tuple[list[bytes], str]:
    body = json.loads(request.body)
    said = wire.answer_to(body, text=script.answer, counted=not script.no_usage)
    whole, frames = SHAPES[request.path]
    if body.get("stream"):
        usage = bool((body.get("stream_options") or {}).get("include_usage"))
        garbage = [b"data: " + GARBAGE + b"\n\n"] if script.garbage else []
        return [*garbage, *frames(said, usage)], "text/event-stream"
    raw = GARBAGE if script.garbage else json.dumps(whole(said)).encode()
    half = len(raw) // 2
    return [raw[:half], raw[half:]], "application/json"


class FakeResponse:
    """See `serving.upstreams.upstream.UpstreamResponse`."""

    def __init__(self, answer: FakeAnswer, *, replica: str, silence_s: float, closed: Callable[[bool], None]) -> None:
        self.status = answer.status
        self.headers: Mapping[str, str] = {name.lower(): value for name, value in answer.headers.items()}
        self.replica = replica
        self.concurrency = 1
        self._answer = answer
        self._silence_s = silence_s
        self._closed: Callable[[bool], None] | None = closed
        self._finished = False
        self.verdicts: list[UpstreamFailed | None] = []
        """What `judged` heard."""

    async def chunks(self) -> AsyncIterator[bytes]:
        """The scripted chunks, then the scripted ending."""
        for sent, chunk in enumerate(self._answer.chunks):
            await asyncio.sleep(self._answer.delay_chunk_s if sent else 0)
            yield chunk
        await self._end()

    async def _end(self) -> None:
        if self._answer.stall:
            await asyncio.sleep(self._silence_s)
            raise UpstreamTimeout(f"{self.replica} did not answer in time")
        if self._answer.cut:
            raise UpstreamDisconnected(f"{self.replica} closed the connection before the answer was complete")
        self._finished = True

    async def read(self) -> bytes:
        """The whole body."""
        return b"".join([chunk async for chunk in self.chunks()])

    def judged(self, failure: UpstreamFailed | None) -> None:
        """Note the verdict: there is to be one at most."""
        self.verdicts.append(failure)

    def arrived(self) -> bool:
        """See `serving.upstreams.upstream.UpstreamResponse`."""
        return self._finished

    async def close(self) -> None:
        """Tell the fake once whether the body was read to its end."""
        closed, self._closed = self._closed, None
        if closed is not None:
            closed(self._finished)


class FakeUpstream:
    """See `serving.upstreams.upstream.Upstream`. `requests` is what was sent; the counters say how responses ended."""

    def __init__(self, *answers: FakeAnswer | Step, replica: str = "fake-0", silence_s: float = 30.0) -> None:
        self.requests: list[UpstreamRequest] = []
        self.reached = 0
        """Requests that were sent, refused connections aside."""
        self.verdicts: list[list[UpstreamFailed | None]] = []
        """What was thought of each response."""
        self.in_flight = 0
        self.finished = 0
        self.cancelled = 0
        """Closed, or abandoned before the head, while the answer was unfinished."""
        self.closed = False
        self.roster = Roster()
        self._answers = list(answers) or [following(Script())]
        self._replica = replica
        self._silence_s = silence_s

    def next(self, *answers: FakeAnswer | Step) -> None:
        """What the following requests get; the last one is repeated."""
        self._answers = list(answers)

    async def send(self, request: UpstreamRequest) -> FakeResponse:
        """The next scripted answer. Raises its `refusal`, or `UpstreamTimeout` when it hangs."""
        self.requests.append(request)
        answer = self._take(request)
        self.reached += answer.refusal is None or answer.refusal.sent
        if answer.refusal is not None:
            answer.refusal.replica = self._replica
            raise answer.refusal
        self.in_flight += 1
        try:
            await self._head(answer)
        except BaseException:  # cancellation too: the count must not leak
            self._end(finished=False)
            raise
        response = FakeResponse(answer, replica=self._replica, silence_s=self._silence_s, closed=self._end)
        self.verdicts.append(response.verdicts)
        return response

    def spare(self, avoid: Collection[str]) -> bool:
        """It is all there is."""
        return self._replica not in avoid

    async def progressed(self, replica: Replica, then: float) -> bool:
        """See `serving.upstreams.readiness.Probed`."""
        return False

    def give_up(self, replica: str) -> None:
        """See `serving.upstreams.readiness.Probed`."""

    def live(self) -> list[Replica]:
        """Itself, as the one replica: see `serving.upstreams.readiness.Probed`."""
        return [Replica(self._replica, "fake://")]

    async def send_to(self, replica: Replica, request: UpstreamRequest) -> FakeResponse:
        """See `serving.upstreams.readiness.Probed`."""
        return await self.send(request)

    def _take(self, request: UpstreamRequest) -> FakeAnswer:
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        return answer if isinstance(answer, FakeAnswer) else answer(request)

    async def _head(self, answer: FakeAnswer) -> None:
        await asyncio.sleep(self._silence_s if answer.hang else answer.delay_head_s)
        if answer.hang:
            late = UpstreamTimeout(f"{self._replica} did not answer in time")
            late.replica = self._replica
            raise late

    def _end(self, finished: bool) -> None:
        self.in_flight -= 1
        if finished:
            self.finished += 1
        else:
            self.cancelled += 1

    async def aclose(self) -> None:
        """Note that it was closed."""
        self.closed = True
