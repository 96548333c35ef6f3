"""The desk of the Responses API: answers a request in the light of earlier ones, keeps it, and hands out what is kept.

Knows the store and the pipeline, and no HTTP beyond `Reply`. A request that neither stores nor continues anything never
touches the store, so a broken store hurts nobody else. Upstreams are never asked to keep state themselves.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import msgspec
from msgspec.structs import replace

from serving.errors import BadRequest, BodyTooLarge, ResponseNotFound, StoreUnavailable
from serving.keys import Tenant
from serving.record import Record
from serving.responses.background import Answering, Background, is_stale
from serving.responses.items import Item, continued, numbered
from serving.responses.keeping import KeptAnswer, not_kept
from serving.responses.objects import Terms, failed, page_of, queued, terms_of
from serving.store.responses import ACTIVE, CANCELLED, COMPLETED, FAILED, KeptResponses, StoredResponse
from serving.wire.reply import Reply
from serving.wire.request import Request

OURS = ("background", "conversation", "previous_response_id", "store")
"""Fields of a request that only the gateway reads."""
CONTINUED = frozenset({COMPLETED, "incomplete"})
"""Statuses after which there is something to continue."""
QUEUING = "responses.queue"
"""The operation a request is counted under that only queued a background response."""
PAUSE_S = 5.0
"""After a failed write, requests that are to be stored are refused for so long before a model is asked, seconds."""


@dataclass(frozen=True, slots=True)
class Page:
    """What a client asked of a list."""

    limit: int = 20
    ascending: bool = False
    after: str | None = None


class ResponseDesk:
    """`now`: seconds since the epoch; `max_bytes`: the most that is kept of one response, conversation included.

    `waiting` is held while a request that has not been admitted yet waits for the store: its body is in memory.
    """

    def __init__(
        self,
        store: KeptResponses,
        answering: Answering,
        background: Background,
        *,
        waiting: AbstractContextManager[None],
        max_bytes: int,
        now: Callable[[], float],
    ) -> None:
        self._store = store
        self._answering = answering
        self._waiting = waiting
        self._background = background
        self._max_bytes = max_bytes
        self._now = now
        self._paused_until_s = 0.0

    async def answer(self, request: Request, tenant: Tenant, reply: Reply, record: Record) -> None:
        """Answer one POST /v1/responses. Raises `MillraceError` when nothing has been sent to the client yet."""
        terms = terms_of(request.body, stream=request.stream)
        if not terms.stateful:
            await self._answering(_upstream(request, request.body.get("input")), tenant, reply, record)
            return
        with self._waiting:
            earlier = await self._earlier(tenant, terms)
        sent = _upstream(request, continued(earlier, request.body["input"]) if earlier else request.body["input"])
        first = queued(request.body, terms, now_s=self._now())
        items = self._items(earlier, request) if terms.store else b""
        if terms.background:
            await self._queue(sent, tenant, terms, first, items, reply, record)
        else:
            await self._ask(sent, tenant, terms, first, items, reply, record)

    async def _ask(
        self, request: Request, tenant: Tenant, terms: Terms, first: Mapping[str, Any], items: bytes,
        reply: Reply, record: Record,
    ) -> None:  # fmt: skip
        async def keep(response: Mapping[str, Any]) -> None:
            await self._save(self._row(tenant, response, items))

        answer = KeptAnswer(terms, first, keep if terms.store else not_kept, reply, record)
        await self._answering(request, tenant, answer.reply(), record)

    async def _queue(
        self, request: Request, tenant: Tenant, terms: Terms, first: Mapping[str, Any], items: bytes,
        reply: Reply, record: Record,
    ) -> None:  # fmt: skip
        with self._background.admitted():
            await self._save(self._row(tenant, first, items))
            self._background.start(request, tenant, terms, first, _work(record))
        record.operation = QUEUING
        await reply.whole(200, msgspec.json.encode(first))

    async def retrieve(self, tenant: Tenant, id: str) -> bytes:
        """The response object. Raises `ResponseNotFound`, `StoreUnavailable`."""
        return (await self._found(tenant, id)).body

    async def delete(self, tenant: Tenant, id: str) -> None:
        """Forget a response; one that is still being worked on is given up. Raises as `retrieve`."""
        if not await self._store.delete(tenant.id, id):
            raise _unknown(id)
        self._background.cancel(id)

    async def cancel(self, tenant: Tenant, id: str) -> bytes:
        """Stop a background response, wherever it runs; one that has ended is left as it is. The response object.

        Raises as `retrieve`, and `BadRequest` for a response that was not made in the background.
        """
        row = await self._found(tenant, id)
        response = _object(row)
        if not response.get("background"):
            raise BadRequest("only a background response can be cancelled; to stop another one, close its connection")
        if row.status not in ACTIVE:
            return row.body
        body = msgspec.json.encode({**response, "status": CANCELLED})
        await self._store.advance(tenant.id, id, status=CANCELLED, body=body)
        self._background.cancel(id)
        return await self.retrieve(tenant, id)

    async def input_items(self, tenant: Tenant, id: str, page: Page) -> Mapping[str, Any]:
        """A page of what the model was given, earlier turns included. Raises as `retrieve`, and `BadRequest`."""
        row = await self._found(tenant, id)
        return page_of(_list(row.items), limit=page.limit, ascending=page.ascending, after=page.after)

    async def _found(self, tenant: Tenant, id: str) -> StoredResponse:
        row = await self._store.load(tenant.id, id)
        if row is None:
            raise _unknown(id)
        if row.status not in ACTIVE or not is_stale(row.beat_s, self._now()):
            return row
        lost = failed(_object(row), code="server_error", message="the gateway that worked on it is gone")
        await self._store.advance(tenant.id, id, status=FAILED, body=msgspec.json.encode(lost))
        return await self._found(tenant, id)

    async def _earlier(self, tenant: Tenant, terms: Terms) -> list[Item]:
        """Everything said before: what the previous response was given, and what it answered."""
        if terms.previous_id is None:
            return []
        row = await self._store.load(tenant.id, terms.previous_id)
        if row is None:
            raise _unknown(terms.previous_id, param="previous_response_id")
        if row.status not in CONTINUED:
            raise BadRequest(
                f"previous_response_id: that response is {row.status}; only a completed one can be continued",
                param="previous_response_id",
            )
        return [*_list(row.items), *numbered(_object(row).get("output") or [])]

    def _items(self, earlier: Sequence[Item], request: Request) -> bytes:
        items = msgspec.json.encode([*earlier, *numbered(request.body["input"])])
        self._bound(len(items))
        if self._now() < self._paused_until_s:
            raise StoreUnavailable("the store cannot be written; send store: false to do without it")
        return items

    def _row(self, tenant: Tenant, response: Mapping[str, Any], items: bytes) -> StoredResponse:
        body, now_s = msgspec.json.encode(response), self._now()
        self._bound(len(body) + len(items))
        return StoredResponse(response["id"], tenant.id, str(response["status"]), now_s, now_s, body, items)

    async def _save(self, row: StoredResponse) -> None:
        try:
            await self._store.save(row)
        except StoreUnavailable:
            self._paused_until_s = self._now() + PAUSE_S
            raise

    def _bound(self, size: int) -> None:
        if size > self._max_bytes:
            raise BodyTooLarge(
                f"input: with its conversation it is over the {self._max_bytes} bytes that are kept of a response "
                "(setting response_max_bytes); start a new conversation, or send store: false",
                param="input",
            )


def _upstream(request: Request, given: Any) -> Request:
    """The request for an upstream: it keeps nothing and is told everything."""
    body = {key: value for key, value in request.body.items() if key not in OURS}
    return replace(request, body=body | {"input": given, "store": False})


def _work(record: Record) -> Record:
    """A record of its own for what is done after the client has been answered."""
    return Record(
        request_id=record.request_id,
        decision=record.decision,
        received_s=record.received_s,
        operation=record.operation,
        tenant=record.tenant,
        asked_model=record.asked_model,
    )


def _unknown(id: str, *, param: str | None = None) -> ResponseNotFound:
    return ResponseNotFound(f"no response with the id {id[:64]!r} is stored", param=param)


def _object(row: StoredResponse) -> dict[str, Any]:
    response: dict[str, Any] = msgspec.json.decode(row.body)
    return response


def _list(text: bytes) -> list[Item]:
    items: list[Item] = msgspec.json.decode(text)
    return items
