"""Drives the cascade against the upstreams: makes each attempt, reports what came of it, returns the accepted answer.

Knows nothing of tenants, HTTP servers or prices. An attempt fails here only before its first content byte has been
passed on, so failing over is invisible to the client. Every response that is not returned is closed.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass

from models.spec import ModelSpec
from routing.cascade import Attempt, Cascade, Evidence, Verdict
from serving.errors import UpstreamDisconnected, UpstreamFailed, UpstreamInvalid, UpstreamRefused, UpstreamTimeout
from serving.record import Tried
from serving.request import Request, upstream_body
from serving.sse import is_error_frame
from serving.upstream import Upstream, UpstreamRequest, UpstreamResponse

_SALTED = frozenset({"chat", "completions", "responses", "messages", "embeddings"})
_OURS = frozenset({401, 403, 404, 408, 429})
"""4xx that say something about the upstream or our credentials there, not about the client's request."""


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

    async def _answer(self, attempt: Attempt, target: Target, request: Request, salt: str, sent_s: float) -> Answer:
        timeouts = target.spec.timeouts
        try:
            async with asyncio.timeout(timeouts.first_token_s if request.stream else timeouts.total_s):
                response = await target.upstream.send(_call(target, request, salt))
                try:
                    rest = response.chunks()
                    content = await _content(response, rest, stream=request.stream)
                except BaseException:  # cancellation too: an answer that is not returned is closed
                    await response.close()
                    raise
        except TimeoutError as error:
            raise UpstreamTimeout(f"{target.spec.name} did not answer in time") from error
        return Answer(attempt, target, response, content, rest, sent_s)


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
    """The whole body, or the first chunk of a good stream. Raises `UpstreamFailed` for what is no answer."""
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
    first = await anext(chunks, b"")
    if not first:
        raise UpstreamDisconnected(f"{response.replica} ended its stream before the first token")
    if is_error_frame(first):
        raise UpstreamInvalid(f"{response.replica} began its stream with an error")
    return first


def _refused(response: UpstreamResponse) -> UpstreamRefused:
    pause = response.headers.get("retry-after", "")
    refused = UpstreamRefused(
        f"{response.replica} answered {response.status}", retry_after_s=int(pause) if pause.isdigit() else None
    )
    refused.upstream_status = response.status
    return refused


def _evidence(answer: Answer | None, failure: UpstreamFailed | None) -> Evidence:
    if answer is None:
        return Evidence(Verdict.FAILED, status=failure.upstream_status if failure else 0)
    return Evidence(Verdict.ANSWERED, status=answer.response.status)


def settled(answer: Answer, *, now: float) -> Tried:
    """The record of the accepted attempt: its time is shared with what ran on that replica beside it."""
    response = answer.response
    outcome = "ok" if response.status < 400 else str(response.status)
    busy_s = (now - answer.sent_s) / response.concurrency
    return Tried(answer.attempt, replica=response.replica, outcome=outcome, busy_s=busy_s)
