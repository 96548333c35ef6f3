"""The gateway: a plain ASGI app. Receives, authenticates, bounds and checks requests, then hands them to the pipeline.

Knows HTTP and the allow-list of routes; nothing of Ray, vLLM, replicas or prices. Every request ends in exactly one
`Telemetry.settled`. What it works with is opened when the server starts and closed when it stops (`House`).
"""

import asyncio
import os
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack

import structlog
from msgspec.structs import replace
from starlette.types import Receive, Scope, Send

from serving.departure import Departure, cut_short
from serving.errors import (
    MethodNotAllowed,
    MillraceError,
    RateLimited,
    ShuttingDown,
    Unauthenticated,
    render,
    retry_headers,
)
from serving.governance.rates import BYTES_PER_TOKEN, Passage
from serving.house import House
from serving.keys import Tenant
from serving.record import Record
from serving.responses.door import STORED_PREFIX, answer_stored, stored_route
from serving.stream_reply import ClientTooSlow
from serving.wire.control import control, identified
from serving.wire.presence import unless_gone
from serving.wire.receive import (
    ClientGone,
    Headers,
    authenticated,
    check_headers,
    client_retry,
    declared_bytes,
    own_deadline_s,
    read_body,
    relayed,
    request_id,
    time_left_s,
)
from serving.wire.reply import Reply, abort
from serving.wire.request import Request, parse_request
from serving.wire.routes import RELAYED, Route

CLIENT_CLOSED = 499
"""The status a request is counted under when its client went away first."""

CLIENT_TOO_SLOW = "client_too_slow"
"""The `error` of a request whose client stopped reading its stream."""


class Gateway:
    """The ASGI app. `open_house` is entered at start-up and left at shutdown."""

    def __init__(self, open_house: Callable[[], AbstractAsyncContextManager[House]]) -> None:
        self._open_house = open_house
        self._house: House | None = None
        self._departure = Departure()

    def drain(self) -> None:
        """Tell whoever asks `/ready` that this gateway stops; it goes on answering."""
        self._departure.begun = True

    def resume(self) -> None:
        """It does not stop after all."""
        self._departure.begun = False

    def cut(self) -> None:
        """End what is still being answered, each with an error its client sees."""
        self._departure.cut()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See the ASGI specification."""
        if scope["type"] == "http":
            await self._http(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        else:
            await send({"type": "websocket.close", "code": 1000})

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        async with AsyncExitStack() as stack:
            try:
                self._house = await stack.enter_async_context(self._open_house())
            except MillraceError as error:
                await send({"type": "lifespan.startup.failed", "message": str(error)})
                return
            await send({"type": "lifespan.startup.complete"})
            await receive()
        self._house = None
        await send({"type": "lifespan.shutdown.complete"})

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        house = self._house
        if house is None:
            raise RuntimeError("the ASGI server must run the lifespan before it sends requests")
        headers: Headers = dict(scope["headers"])
        serial = os.urandom(12).hex()
        record = Record(request_id(headers, f"req-{serial}"), f"mrd-{serial}", received_s=time.perf_counter())
        reply = Reply(send, record.request_id)
        self._departure.enter(record)
        try:
            await self._handle(house, scope, headers, receive, reply, record)
        except MillraceError as error:
            await _refuse(error, scope["path"], reply, record)
        except ClientTooSlow:
            record.error, record.status = CLIENT_TOO_SLOW, CLIENT_CLOSED
            await abort(scope)
        except ClientGone:
            _count_gone(record, reply)
        except asyncio.CancelledError:
            if not cut_short(record):
                _count_gone(record, reply)
                raise
            await _refuse(ShuttingDown("this gateway stops"), scope["path"], reply, record)
        except Exception as error:  # noqa: BLE001 — the boundary: whatever else breaks is one 500, logged, in our shape
            structlog.get_logger().exception("unexpected", request_id=record.request_id)
            await _refuse(MillraceError(f"internal error ({type(error).__name__})"), scope["path"], reply, record)
        finally:
            self._departure.leave()
            record.status = record.status or reply.status
            house.telemetry.settled(record, now=time.perf_counter())

    async def _handle(
        self, house: House, scope: Scope, headers: Headers, receive: Receive, reply: Reply, record: Record
    ) -> None:
        path, method = scope["path"], scope["method"]
        route = RELAYED.get(path)
        if route is not None and route.anthropic:
            reply.headers["request-id"] = record.request_id
        check_headers(scope["headers"], house.limits)
        if route is None:
            if path == "/ready" and self._departure.begun:
                raise ShuttingDown("this gateway stops; ask another one")
            if path.startswith(STORED_PREFIX):
                await _stored(house, scope, headers, reply, record)
            else:
                await control(house, path, method, headers, reply, record)
            return
        record.operation = route.operation
        if method != "POST":
            reply.headers["allow"] = "POST"
            raise MethodNotAllowed(f"{path} takes POST, not {method}")
        await _relayed(house, route, scope, headers, receive, reply, record)


async def _relayed(
    house: House, route: Route, scope: Scope, headers: Headers, receive: Receive, reply: Reply, record: Record
) -> None:
    """Who asks and how often comes before the body; what was used is settled with the limits whatever happens."""
    tenant = authenticated(headers, house.authenticate)
    record.tenant, record.client_retry = tenant.id, client_retry(headers)
    passage = _admitted(house, tenant, headers, reply, record)
    try:
        timeout_s = own_deadline_s(headers)
        with house.intake:
            raw = await read_body(receive, headers, house.limits, path=route.path)
        request = parse_request(
            route,
            raw,
            request_id=record.request_id,
            headers=relayed(headers),
            limits=house.limits,
            timeout_s=timeout_s,
        )
        record.asked_model, record.stream = request.model, request.stream
        await unless_gone(_answer(house, request, raw, tenant, reply, record), scope, receive)
    finally:
        passage.settle(record.usage.input + record.usage.output, now=time.perf_counter())


def _admitted(house: House, tenant: Tenant, headers: Headers, reply: Reply, record: Record) -> Passage:
    estimate = declared_bytes(headers) // BYTES_PER_TOKEN
    try:
        passage = house.rates.admit(tenant.id, estimate, now=record.received_s)
    except RateLimited:
        reply.headers.update(house.rates.headers(tenant.id, now=record.received_s))
        raise
    reply.headers.update(passage.headers)
    return passage


async def _answer(house: House, request: Request, raw: bytes, tenant: Tenant, reply: Reply, record: Record) -> None:
    """The pipeline's answer to a request that carries no URL any more; until it is admitted, its body is an intake."""
    if house.media.concerns(raw):
        with house.intake:
            request = await house.media.inlined(request)
    if request.timeout_s is not None:
        left_s = time_left_s(request.timeout_s, began_s=record.received_s, now=time.perf_counter())
        request = replace(request, timeout_s=left_s)
    answering = house.responses if request.route.operation == "responses" else house.pipeline
    await answering.answer(request, tenant, reply, record)


async def _stored(house: House, scope: Scope, headers: Headers, reply: Reply, record: Record) -> None:
    """The answer to a request for a response that was kept."""
    route, id = stored_route(scope["path"], scope["method"], reply)
    record.operation = route.operation
    tenant = identified(house, headers, reply, record)
    await answer_stored(house.responses, route, id, scope["query_string"], tenant, reply)


def _count_gone(record: Record, reply: Reply) -> None:
    if reply.ended:
        return
    record.error = "client_closed"
    record.status = CLIENT_CLOSED


async def _refuse(error: MillraceError, path: str, reply: Reply, record: Record) -> None:
    record.error = error.code
    if reply.started:
        return
    reply.headers.update(retry_headers(error))
    if isinstance(error, Unauthenticated):
        reply.headers["www-authenticate"] = "Bearer"
    route: Route | None = RELAYED.get(path)
    await reply.whole(error.status, render(error, anthropic=route is not None and route.anthropic))
