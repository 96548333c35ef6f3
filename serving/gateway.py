"""The gateway: a plain ASGI app. Receives, authenticates, bounds and checks requests, then hands them to the pipeline.

Knows HTTP and the allow-list of routes; nothing of Ray, vLLM, replicas or prices. Every request ends in exactly one
`Telemetry.settled`. What it works with is opened when the server starts and closed when it stops (`House`).
"""

import asyncio
import os
import time
from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Any

import structlog
from starlette.types import Receive, Scope, Send

from serving.errors import MethodNotAllowed, MillraceError, Unauthenticated, render, retry_headers
from serving.house import House
from serving.record import Record
from serving.wire.control import control
from serving.wire.receive import ClientGone, Headers, authenticated, read_body, relayed, request_id
from serving.wire.reply import Reply
from serving.wire.request import parse_request
from serving.wire.routes import RELAYED, Route

CLIENT_CLOSED = 499
"""The status a request is counted under when its client went away first."""


class Gateway:
    """The ASGI app. `open_house` is entered at start-up and left at shutdown."""

    def __init__(self, open_house: Callable[[], AbstractAsyncContextManager[House]]) -> None:
        self._open_house = open_house
        self._house: House | None = None

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
        record = Record(
            request_id=request_id(headers), decision=f"mrd-{os.urandom(12).hex()}", received_s=time.perf_counter()
        )
        reply = Reply(send, record.request_id)
        try:
            await self._handle(house, scope, headers, receive, reply, record)
        except MillraceError as error:
            await _refuse(error, scope["path"], reply, record)
        except ClientGone:
            _count_gone(record, reply)
        except asyncio.CancelledError:
            _count_gone(record, reply)
            raise
        except Exception as error:  # noqa: BLE001 — the boundary: whatever else breaks is one 500, logged, in our shape
            structlog.get_logger().exception("unexpected", request_id=record.request_id)
            await _refuse(MillraceError(f"internal error ({type(error).__name__})"), scope["path"], reply, record)
        finally:
            record.status = record.status or reply.status
            house.telemetry.settled(record, now=time.perf_counter())

    async def _handle(
        self, house: House, scope: Scope, headers: Headers, receive: Receive, reply: Reply, record: Record
    ) -> None:
        path, method = scope["path"], scope["method"]
        route = RELAYED.get(path)
        if route is None:
            await control(house, path, method, headers, reply, record)
            return
        record.operation = route.operation
        if route.anthropic:
            reply.headers["request-id"] = record.request_id
        if method != "POST":
            reply.headers["allow"] = "POST"
            raise MethodNotAllowed(f"{path} takes POST, not {method}")
        tenant = authenticated(headers, house.authenticate)
        record.tenant = tenant.id
        raw = await read_body(receive, headers, limit=house.max_body_bytes, timeout_s=house.body_timeout_s)
        request = parse_request(route, raw, request_id=record.request_id, headers=relayed(headers))
        record.asked_model, record.stream = request.model, request.stream
        await _unless_gone(house.pipeline.answer(request, tenant, reply, record), receive)


async def _unless_gone(work: Coroutine[Any, Any, None], receive: Receive) -> None:
    """Run `work` to its end, or cancel it and raise `ClientGone` as soon as the client goes away.

    `work` runs in the caller's own task, as under `asyncio.timeout`: a task more would cost every request a switch.
    """
    caller = asyncio.current_task()
    assert caller is not None
    running = True

    def cut(_: object) -> None:
        if running:
            caller.cancel()

    watcher = asyncio.ensure_future(_disconnect(receive))
    watcher.add_done_callback(cut)
    try:
        await work
    except asyncio.CancelledError:
        if not watcher.done() or watcher.cancelled():
            raise
        caller.uncancel()
        raise ClientGone from None
    finally:
        running = False
        watcher.cancel()


async def _disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


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
