"""Between the pipeline and the client of one Responses request: makes the answer ours and keeps it before it is shown.

An ASGI `send` for the pipeline's reply on one side, the client's own `Reply` on the other. Invariant: the client never
sees the end of a stored response that is not in the store.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec
from starlette.types import Message

from serving.errors import MillraceError
from serving.record import Record
from serving.responses.frames import OwnFrames
from serving.responses.objects import Terms, completed
from serving.wire.reply import Reply

Keep = Callable[[Mapping[str, Any]], Awaitable[None]]
"""Stores a response object that has ended. Raises `MillraceError`."""


async def not_kept(response: Mapping[str, Any]) -> None:
    """For `store: false`: nothing is stored."""


class KeptAnswer:
    """One answer on its way. `first`: the response object as it is before the upstream said anything."""

    def __init__(self, terms: Terms, first: Mapping[str, Any], keep: Keep, client: Reply, record: Record) -> None:
        self._terms = terms
        self._frames = OwnFrames(terms, first)
        self._keep = keep
        self._client = client
        self._record = record
        self._status = 0
        self._content_type = ""
        self._failed = False

    def reply(self) -> Reply:
        """What the pipeline answers to. Its headers are the client's."""
        reply = Reply(self._send, "")
        reply.headers = self._client.headers
        return reply

    async def _send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            self._content_type = next(value.decode() for name, value in message["headers"] if name == b"content-type")
            if self._streams:
                await self._client.stream(self._status)
        elif self._streams:
            await self._pass_on(message["body"], more=message["more_body"])
        else:
            await self._whole(message["body"])

    @property
    def _streams(self) -> bool:
        return self._content_type.startswith("text/event-stream")

    async def _whole(self, body: bytes) -> None:
        if self._status == 200:
            response = completed(self._frames.response, msgspec.json.decode(body), self._terms)
            await self._keep(response)
            body = msgspec.json.encode(response)
        await self._client.whole(self._status, body, self._content_type)

    async def _pass_on(self, chunk: bytes, *, more: bool) -> None:
        ended_before = self._frames.ended
        before, rest = self._frames.rewrite(chunk)
        if self._frames.ended and not ended_before:
            rest = await self._kept(rest)
        if self._failed and ended_before:
            rest = b""
        await (self._client.more if more else self._client.end)(before + rest)

    async def _kept(self, end: bytes) -> bytes:
        """The last frames of a stream once the response is stored; other last frames when it could not be."""
        response = self._frames.response
        try:
            await self._keep(response)
        except MillraceError as error:
            if response.get("status") == "failed":
                return end
            self._failed = True
            self._record.error = error.code
            return self._frames.failing(error)
        return end
