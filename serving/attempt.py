"""One attempt: send a request to a model's upstream and hold what comes until it is an answer, or no answer.

Knows nothing of other attempts. What fails here has passed nothing on, so failing over is invisible to the client;
every response that is not returned is closed. The upstream hears what its response was worth.
"""

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from models.spec import ModelSpec
from routing.cascade import Attempt
from serving.deadline import Deadline
from serving.errors import UpstreamFailed, UpstreamInvalid, UpstreamRefused, UpstreamTimeout
from serving.upstreams.upstream import Upstream, UpstreamRequest, UpstreamResponse
from serving.wire.engine_body import engine_body
from serving.wire.opening import Opening
from serving.wire.request import Request, upstream_body

_SALTED = frozenset({"chat", "completions", "responses", "messages", "embeddings", "rerank", "score"})
"""Operations that fill a prefix cache."""
_OURS = frozenset({401, 402, 403, 404, 407, 408, 429})
"""4xx that say something about the upstream or our account there, not about the client's request."""
_THIS_REQUEST = frozenset({403, 404})
"""Of those, what others may well be answered at the same time: no failure that a breaker should count."""


@dataclass(frozen=True, slots=True)
class Target:
    """A model and the way to it."""

    spec: ModelSpec
    upstream: Upstream

    @property
    def upstream_model(self) -> str:
        """The name the upstream knows the model by."""
        return self.spec.hosted.model if self.spec.hosted else self.spec.name


class Answer(msgspec.Struct, frozen=True):
    """The accepted answer. `content`: the whole body, or of a stream its first chunks, with `rest` still to come."""

    attempt: Attempt
    target: Target
    response: UpstreamResponse
    content: bytes
    data: Mapping[str, Any]
    """`content` decoded; empty for a stream and for a 4xx."""
    rest: AsyncIterator[bytes]
    sent_s: float
    """When the attempt began, monotonic seconds."""


def call(target: Target, request: Request, *, salt: str, request_id: str, avoid: Collection[str]) -> UpstreamRequest:
    """What `target` is sent. `request_id`: ours, since a client's own may be anybody's."""
    engine, operation = target.spec.engine, request.route.operation
    fields = None
    if engine is not None:
        fields = engine_body(operation, request.body, thinks="reasoning-parser" in engine.args)
    salted = engine is not None and operation in _SALTED
    body = upstream_body(request, fields, model=target.upstream_model, cache_salt=salt if salted else None)
    return UpstreamRequest(
        path=request.route.path,
        body=body,
        request_id=request_id,
        stream=request.stream,
        headers=request.relayed_headers,
        avoid=avoid,
    )


async def answered(
    attempt: Attempt, target: Target, operation: str, sending: UpstreamRequest, *, sent_s: float
) -> Answer:
    """Make the attempt. Raises `UpstreamFailed`, with the replica that failed noted on it where it is known."""
    latest = asyncio.get_running_loop().time() + target.spec.timeouts.first_token_s
    response = await target.upstream.send(sending)
    try:
        rest = response.chunks()
        if sending.stream and response.status < 300:
            content = await _first_token(response, rest, operation, latest)
            data: Mapping[str, Any] = {}
        else:
            content, data = await _whole(response)
    except UpstreamFailed as failure:
        if not _blames_the_client(failure):
            failure.replica = response.replica
            response.judged(failure)
            await response.close()
            raise
        response.status, content, data = failure.upstream_status, failure.said, {}
    except BaseException:  # cancellation too: an answer that is not returned is closed
        await response.close()
        raise
    response.judged(None)
    return Answer(attempt, target, response, content, data, rest, sent_s)


def _blames_the_client(failure: UpstreamFailed) -> bool:
    """vLLM begins some streams with a 200 and finds then that the request is wrong: a 400 all the same."""
    return bool(failure.said) and 400 <= failure.upstream_status < 500 and failure.upstream_status not in _OURS


async def _first_token(
    response: UpstreamResponse, chunks: AsyncIterator[bytes], operation: str, latest: float
) -> bytes:
    if not response.headers.get("content-type", "").startswith("text/event-stream"):
        raise UpstreamInvalid(f"{response.replica} was asked for a stream and answered {response.status} without one")
    opening = Opening(operation, response.replica)
    async for chunk in chunks:  # the upstream itself bounds the wait for the first one
        if opening.feed(chunk):
            return opening.held()
        break
    try:
        with Deadline(latest):
            async for chunk in chunks:
                if opening.feed(chunk):
                    return opening.held()
    except TimeoutError as error:
        raise UpstreamTimeout(f"{response.replica} produced no token in time") from error
    raise opening.unopened()


async def _whole(response: UpstreamResponse) -> tuple[bytes, Mapping[str, Any]]:
    """The body, and what it says. Raises `UpstreamFailed` for what is no answer."""
    status = response.status
    if status >= 500 or status in _OURS:
        raise _refused(response)
    if status >= 300 and not 400 <= status < 500:
        raise UpstreamInvalid(f"{response.replica} answered {status}")
    content = await response.read()
    data = _object(content, response.replica) if status < 300 else {}
    await response.close()
    return content, data


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
    refused.pause_s = seconds
    refused.tried = response.status not in _THIS_REQUEST
    return refused
