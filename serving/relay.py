"""Brings an accepted answer to the client: whole, or as a stream that ends as honestly as it came; then settles it.

Knows no policy and no upstream's transport. A stream's failure is raised when nothing more may follow it; whoever
catches it owes the client an ending.
"""

import asyncio
import contextlib
from collections.abc import Callable, Mapping

import msgspec

from models.spec import ModelSpec
from serving.dispatch import CANCELLED, Answer, settled
from serving.errors import BadRequest, MillraceError, UpstreamDisconnected
from serving.governance.ledger import cost_usd
from serving.record import Record, Usage
from serving.stream_reply import StreamReply
from serving.wire.reply import Reply
from serving.wire.request import Request
from serving.wire.sse import StreamWatch
from serving.wire.upstream_error import client_error, retry_header
from serving.wire.usage import BYTES_PER_TOKEN, estimate, find_usage, merge_usage

DRAIN_S = 0.1
"""How long an upstream may take to end its body after the terminal frame before its connection is cut, seconds."""


class Relay:
    """Relays answers. `models`: what is paid for; `clock` gives monotonic seconds."""

    def __init__(self, models: Mapping[str, ModelSpec], clock: Callable[[], float]) -> None:
        self._models = models
        self._clock = clock

    async def whole(self, answer: Answer, request: Request, reply: Reply, record: Record) -> None:
        """Send an answer that is all here, a 4xx too. Raises `BadRequest` for that when a stream was begun already."""
        merge_usage(record.usage, find_usage(answer.data))
        status = answer.response.status
        if status < 300 and not (record.usage.input or record.usage.output):
            record.usage = _guessed(record.usage, request, answer.content)
        self._settle(answer, record, outcome="ok" if status < 400 else str(status))
        if reply.started:
            raise _refusal(answer.content, status)
        reply.headers["x-millrace-cost-usd"] = f"{record.cost_usd:.9f}"
        if status < 400:
            content_type = answer.response.headers.get("content-type", "application/json")
            await reply.whole(status, answer.content, content_type)
        else:
            reply.headers.update(retry_header(status))
            await reply.whole(status, client_error(answer.content, status, anthropic=request.route.anthropic))

    async def stream(self, answer: Answer, request: Request, reply: StreamReply, record: Record) -> None:
        """Send a stream as it comes. Raises `UpstreamFailed` when it breaks off; `reply.watch` knows how far it got."""
        clock, times = self._clock, record.chunk_times_s
        watch = StreamWatch(
            request.route.operation, strip_usage=not request.wants_usage, several=_several(request.body)
        )
        reply.watch = watch
        record.first_byte_s = clock()
        times.append(record.first_byte_s)
        outcome = CANCELLED
        try:
            await reply.more(await reply.begin(answer.response.status))
            ready = watch.feed(answer.content)
            while not (watch.ended or watch.failure):
                await reply.more(ready)
                ready = await _next(answer, watch)
                times.append(clock())
            if watch.failure is not None:
                await reply.more(ready)
                raise watch.failure
            outcome = "ok"
        except MillraceError as error:
            outcome = error.code
            raise
        finally:
            usage = watch.usage_so_far()
            record.usage = estimate(usage, request.body, output=0) if usage.estimated else usage
            self._settle(answer, record, outcome=outcome)
        await reply.end(ready + watch.finish(cost_usd=record.cost_usd))
        if not answer.response.arrived():
            await _drain(answer)

    def _settle(self, answer: Answer, record: Record, *, outcome: str) -> None:
        record.tried.append(settled(answer, now=self._clock(), outcome=outcome))
        record.cost_usd = cost_usd(self._models, record.tried, record.usage)


def _guessed(usage: Usage, request: Request, content: bytes) -> Usage:
    """What an answer without usage may have taken; nothing where nothing is paid for by the token."""
    if request.route.streams:
        return estimate(usage, request.body, output=len(content) // BYTES_PER_TOKEN)
    if request.route.operation in ("embeddings", "rerank", "score"):
        return estimate(usage, request.body, output=0)
    return usage


async def _next(answer: Answer, watch: StreamWatch) -> bytes:
    async for chunk in answer.rest:
        return watch.feed(chunk)
    ready = watch.close()
    if not watch.ended and watch.failure is None:
        raise UpstreamDisconnected(f"{answer.response.replica} ended its stream before the answer was complete")
    return ready


async def _drain(answer: Answer) -> None:
    """Read on to the end of the body, which gives the connection back; what breaks there costs the client nothing."""
    with contextlib.suppress(MillraceError, TimeoutError):
        async with asyncio.timeout(DRAIN_S):
            async for _ in answer.rest:
                pass


def _several(body: Mapping[str, object]) -> bool:
    """May a stream have more than one choice?"""
    return body.get("n") not in (None, 1) or isinstance(body.get("prompt"), list)


def _refusal(content: bytes, status: int) -> BadRequest:
    """What the upstream has against the request, for a client that was told 200 already."""
    error = msgspec.json.decode(client_error(content, status, anthropic=False))["error"]
    return BadRequest(error["message"], param=error["param"])
