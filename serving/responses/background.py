"""Background responses: each is a task of the gateway that took it, and a row in the store that every gateway reads.

The row decides. Whoever moves it out of its active statuses first has the last word: the task that finished, or a
cancel or delete through any gateway, which the task's own gateway notices at its next beat. Knows no HTTP.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import msgspec
import structlog
from starlette.types import Message

from serving.errors import MillraceError, Overloaded, StoreUnavailable
from serving.keys import Tenant
from serving.record import Record
from serving.responses.objects import Terms, completed, failed, failed_with
from serving.store.responses import IN_PROGRESS, KeptResponses
from serving.wire.reply import Reply
from serving.wire.request import Request

Answering = Callable[[Request, Tenant, Reply, Record], Awaitable[None]]
"""The pipeline: answers one request."""
Settling = Callable[[Record], None]
"""Counts and logs a record; called once for each."""

BEAT_S = 1.0
"""Between two signs of life, and the longest a cancel through another gateway goes unnoticed, seconds."""
STALE_S = 15.0
"""After so long without a sign of life its gateway is taken for dead, seconds."""
PAUSES_S = (0.5, 2.0, 5.0)
"""Before each further try to store an answer, seconds: it was too dear to lose it to a short outage of the store."""
GRACE_S = 10.0
"""How long a gateway that is stopping lets its background responses go on, seconds."""


class Background:
    """The background responses of this gateway, at most `limit` at once. `now`: seconds since the epoch."""

    def __init__(
        self,
        store: KeptResponses,
        answering: Answering,
        settling: Settling,
        *,
        limit: int,
        now: Callable[[], float],
        pauses_s: Sequence[float] = PAUSES_S,
    ) -> None:
        self._store = store
        self._answering = answering
        self._settling = settling
        self._limit = limit
        self._now = now
        self._pauses_s = pauses_s
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._coming = 0

    @contextmanager
    def admitted(self) -> Iterator[None]:
        """Holds a place for one more, until it is started or not. Raises `Overloaded` when there is none."""
        if len(self._tasks) + self._coming >= self._limit:
            raise Overloaded(f"{self._limit} background responses are running here already; try again later")
        self._coming += 1
        try:
            yield
        finally:
            self._coming -= 1

    def start(
        self, request: Request, tenant: Tenant, terms: Terms, response: Mapping[str, Any], record: Record
    ) -> None:
        """Answer `request` on its own; its row is in the store already. `record` is settled at the end."""
        task = asyncio.ensure_future(self._run(request, tenant, terms, response, record))
        self._tasks[terms.id] = task
        task.add_done_callback(lambda _: self._tasks.pop(terms.id, None))

    def cancel(self, id: str) -> None:
        """Stop the work on a response whose row says that it has ended, if it is done here."""
        task = self._tasks.get(id)
        if task is not None:
            task.cancel()

    async def beat_forever(self) -> None:
        """Give signs of life, and drop what was cancelled or deleted elsewhere."""
        while True:
            await asyncio.sleep(BEAT_S)
            with contextlib.suppress(StoreUnavailable):  # it may be back at the next beat
                await self.beat()

    async def beat(self) -> None:
        """One sign of life for all. Raises `StoreUnavailable`."""
        ids = tuple(self._tasks)
        if ids:
            active = await self._store.beat(ids, now_s=self._now())
            for id in ids:
                if id not in active:
                    self.cancel(id)

    async def stop(self, grace_s: float = GRACE_S) -> None:
        """Let what runs end within `grace_s`; what does not is stored as failed."""
        tasks = set(self._tasks.values())
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=grace_s)
            for task in late:
                task.cancel("stopping")
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(
        self, request: Request, tenant: Tenant, terms: Terms, response: Mapping[str, Any], record: Record
    ) -> None:
        try:
            working = {**response, "status": IN_PROGRESS}
            if await self._advance(tenant, working):
                await self._advance(tenant, await self._answer(request, tenant, terms, working, record))
        except asyncio.CancelledError as cancelled:
            record.error, record.status = "cancelled", record.status or 499
            if cancelled.args == ("stopping",):
                await self._advance(tenant, failed(response, code="server_error", message="its gateway was stopped"))
        except StoreUnavailable as error:  # the row stays active without a beat, and is found stale
            structlog.get_logger().warning("background_response_lost", id=terms.id, reason=error.message)
        finally:
            self._settling(record)

    async def _advance(self, tenant: Tenant, response: Mapping[str, Any]) -> bool:
        body = msgspec.json.encode(response)
        for pause_s in self._pauses_s:
            with contextlib.suppress(StoreUnavailable):
                return await self._store.advance(tenant.id, response["id"], status=response["status"], body=body)
            await asyncio.sleep(pause_s)
        return await self._store.advance(tenant.id, response["id"], status=response["status"], body=body)

    async def _answer(
        self, request: Request, tenant: Tenant, terms: Terms, response: Mapping[str, Any], record: Record
    ) -> Mapping[str, Any]:
        """The response object at its end, whatever that is."""
        answer = _Collected()
        try:
            await self._answering(request, tenant, Reply(answer.send, request.id), record)
        except MillraceError as error:
            record.error, record.status = error.code, error.status
            return failed_with(response, error)
        except Exception as error:  # noqa: BLE001 — nobody waits for this task: what breaks is logged and stored
            structlog.get_logger().exception("unexpected", request_id=request.id)
            record.error, record.status = MillraceError.code, MillraceError.status
            return failed(response, code="server_error", message=f"internal error ({type(error).__name__})")
        record.status = answer.status
        data = msgspec.json.decode(answer.body)
        return completed(response, data, terms) if answer.status == 200 else _refused(response, data)


class _Collected:
    """An ASGI client that only listens."""

    def __init__(self) -> None:
        self.status = 0
        self.body = b""

    async def send(self, message: Message) -> None:
        """See the ASGI specification."""
        self.status = message.get("status", self.status)
        self.body += message.get("body", b"")


def _refused(response: Mapping[str, Any], data: Any) -> dict[str, Any]:
    """The upstream's own 4xx as a failed response."""
    error = data.get("error") if isinstance(data, dict) else None
    told = error if isinstance(error, dict) else {}
    message = told.get("message") or "the model refused the request"
    return failed(response, code=str(told.get("code") or "invalid_prompt"), message=str(message))


def is_stale(beat_s: float, now_s: float) -> bool:
    """Has the gateway that works on it given no sign of life for `STALE_S`?"""
    return now_s - beat_s > STALE_S
