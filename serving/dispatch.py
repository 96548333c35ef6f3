"""Drives the cascade against the upstreams: makes each attempt, reports what came of it, returns the accepted answer.

Knows nothing of tenants, HTTP servers or prices. An attempt fails here only before its first content byte has been
passed on, so failing over is invisible to the client. Every response that is not returned is closed.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from models.spec import ModelSpec
from routing.cascade import Attempt, Cascade, Evidence, Verdict
from serving.errors import UpstreamDisconnected, UpstreamFailed, UpstreamInvalid, UpstreamRefused, UpstreamTimeout
from serving.record import Tried
from serving.upstreams.upstream import Upstream, UpstreamRequest, UpstreamResponse
from serving.wire.request import Request, upstream_body
from serving.wire.sse import MAX_FRAME_BYTES, frame_data, has_event, is_error_frame

_SALTED = frozenset({"chat", "completions", "responses", "messages", "embeddings", "rerank", "score"})
"""Operations that fill a prefix cache."""
_OURS = frozenset({401, 402, 403, 404, 407, 408, 429})
"""4xx that say something about the upstream or our account there, not about the client's request."""

CANCELLED = "cancelled"
"""Outcome of an attempt that was given up unfinished: the client went away or the request's time was over."""


@dataclass(frozen=True, slots=True)
class Target:
    """A model and the way to it."""

    spec: ModelSpec
    upstream: Upstream

    @property
    def upstream_model(self) -> str:
        """The name the upstream knows the model by."""
        return self.spec.hosted.model if self.spec.hosted else self.spec.name


@dataclass(frozen=True, slots=True)
class Answer:
    """The accepted answer. `content`: the whole body, or of a stream its first chunk, with `rest` still to come."""

    attempt: Attempt
    target: Target
    response: UpstreamResponse
    content: bytes
    data: Mapping[str, Any]
    """`content` decoded; empty for a stream and for a 4xx."""
    rest: AsyncIterator[bytes]
    sent_s: float
    """When the attempt began, monotonic seconds."""


class Dispatcher:
    """Makes attempts. `clock` gives monotonic seconds."""

    def __init__(self, targets: Mapping[str, Target], clock: Callable[[], float]) -> None:
        self._targets = targets
        self._clock = clock

    async def run(self, cascade: Cascade, request: Request, *, salt: str, tried: list[Tried]) -> Answer:
        """Follow `cascade` until it accepts an answer; failed attempts are appended to `tried`.

        Raises the last attempt's `UpstreamFailed` when the cascade ends without one.
        """
        attempt = next(cascade)
        while True:
            answer, failure = await self._attempt(attempt, request, salt, tried)
            try:
                attempt = cascade.send(_evidence(answer, failure))
            except StopIteration:
                if answer is not None:
                    return answer
                raise failure or UpstreamRefused("no model could be asked") from None
            if answer is not None:
                await answer.response.close()

    async def _attempt(
        self, attempt: Attempt, request: Request, salt: str, tried: list[Tried]
    ) -> tuple[Answer | None, UpstreamFailed | None]:
        target = self._targets[attempt.model]
        sent_s = self._clock()
        try:
            return await self._answer(attempt, target, request, salt, sent_s), None
        except UpstreamFailed as failure:
            outcome = str(failure.upstream_status or failure.code)
            tried.append(Tried(attempt, replica="-", outcome=outcome, busy_s=0.0))
            return None, failure
        except asyncio.CancelledError:
            tried.append(Tried(attempt, replica="-", outcome=CANCELLED, busy_s=0.0))
            raise

    async def _answer(self, attempt: Attempt, target: Target, request: Request, salt: str, sent_s: float) -> Answer:
        timeouts = target.spec.timeouts
        try:
            async with asyncio.timeout(timeouts.first_token_s if request.stream else timeouts.total_s):
                response = await target.upstream.send(_call(target, request, salt))
                try:
                    rest = response.chunks()
                    content = await _content(response, rest, stream=request.stream)
                    whole = response.status < 300 and not request.stream
                    data = _object(content, response.replica) if whole else {}
                except BaseException:  # cancellation too: an answer that is not returned is closed
                    await response.close()
                    raise
        except TimeoutError as error:
            raise UpstreamTimeout(f"{target.spec.name} did not answer in time") from error
        return Answer(attempt, target, response, content, data, rest, sent_s)


def _call(target: Target, request: Request, salt: str) -> UpstreamRequest:
    salted = target.spec.engine is not None and request.route.operation in _SALTED
    body = upstream_body(request, model=target.upstream_model, cache_salt=salt if salted else None)
    return UpstreamRequest(
        path=request.route.path,
        body=body,
        request_id=request.id,
        stream=request.stream,
        headers=request.relayed_headers,
    )


async def _content(response: UpstreamResponse, chunks: AsyncIterator[bytes], *, stream: bool) -> bytes:
    """The whole body, or the opening of a good stream. Raises `UpstreamFailed` for what is no answer."""
    status = response.status
    if status >= 500 or status in _OURS:
        await response.close()
        raise _refused(response)
    if status >= 300 and not 400 <= status < 500:
        raise UpstreamInvalid(f"{response.replica} answered {status}")
    if status >= 400 or not stream:
        content = await response.read()
        await response.close()
        return content
    if not response.headers.get("content-type", "").startswith("text/event-stream"):
        raise UpstreamInvalid(f"{response.replica} was asked for a stream and answered {status} without one")
    return await _opening(chunks, response.replica)


async def _opening(chunks: AsyncIterator[bytes], replica: str) -> bytes:
    """The chunks up to and with the first event, comments before it included."""
    opening = b""
    async for chunk in chunks:
        opening += chunk
        if has_event(opening):
            break
        if len(opening) > MAX_FRAME_BYTES:
            raise UpstreamInvalid(f"{replica} sent {len(opening)} bytes without a first event")
    else:
        raise UpstreamDisconnected(f"{replica} ended its stream before the first token")
    if frame_data(opening) is None or is_error_frame(opening):
        raise UpstreamInvalid(f"{replica} began its stream with something that is no answer")
    return opening


def _object(content: bytes, replica: str) -> Mapping[str, Any]:
    try:
        data = msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UpstreamInvalid(f"{replica} answered with a body that is not JSON") from error
    if not isinstance(data, dict) or data.get("error"):
        raise UpstreamInvalid(f"{replica} answered 200 with something that is no answer")
    return data


def _refused(response: UpstreamResponse) -> UpstreamRefused:
    pause = response.headers.get("retry-after", "")
    seconds = int(pause) if pause.isascii() and pause.isdigit() and len(pause) < 10 else None
    refused = UpstreamRefused(f"{response.replica} answered {response.status}", retry_after_s=seconds)
    refused.upstream_status = response.status
    return refused


def _evidence(answer: Answer | None, failure: UpstreamFailed | None) -> Evidence:
    if answer is None:
        return Evidence(Verdict.FAILED, status=failure.upstream_status if failure else 0)
    return Evidence(Verdict.ANSWERED, status=answer.response.status)


def settled(answer: Answer, *, now: float, outcome: str) -> Tried:
    """The record of the accepted attempt: its time is shared with what ran on that replica beside it."""
    response = answer.response
    busy_s = (now - answer.sent_s) / response.concurrency
    return Tried(answer.attempt, replica=response.replica, outcome=outcome, busy_s=busy_s)
