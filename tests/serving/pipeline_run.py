"""One request through the pipeline of a world, without a gateway around it: what was sent, settled and recorded."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from starlette.types import Message

from serving.governance.admission import Place
from serving.record import Record
from serving.wire.reply import Reply
from serving.wire.request import Request, parse_request
from serving.wire.routes import RELAYED
from tests.doubles.upstream import FakeAnswer
from tests.serving.asgi_call import SentResponse
from tests.serving.world import TENANT, World

SSE = {"content-type": "text/event-stream"}
DELTA = b'data: {"choices":[{"index":0,"delta":{"content":"4"}}]}\n\n'
FINISH = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
USAGE = (
    b'data: {"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":2,'
    b'"prompt_tokens_details":{"cached_tokens":4}}}\n\n'
)
DONE = b"data: [DONE]\n\n"


def request(model: str = "auto", *, path: str = "/v1/chat/completions", **fields: Any) -> Request:
    body = {"model": model, "messages": [{"role": "user", "content": "2+2?"}], "input": "x", "prompt": "x", **fields}
    return parse_request(RELAYED[path], json.dumps(body).encode(), request_id="req-1", headers={})


class CountedPlace(Place):
    """A place that counts how often it is given back."""

    __slots__ = ("returned",)

    def settle(self, cost_usd: float) -> None:
        """Keep what it was settled at."""
        self.returned = [*getattr(self, "returned", []), cost_usd]
        super().settle(cost_usd)


@dataclass
class Run(SentResponse):
    """One request through the pipeline of a world, and what became of it."""

    world: World
    record: Record = field(default_factory=lambda: Record(request_id="req-1", decision="mrd-1", received_s=100.0))
    sent: list[Message] = field(default_factory=list)
    places: list[CountedPlace] = field(default_factory=list)
    on_send: Callable[[Message], None] = lambda message: None

    def __post_init__(self) -> None:
        self.reply = Reply(self._send, "req-1")
        admit = self.world.admission.admit

        def counted(tenant: str, *, now: float) -> Place:
            admit(tenant, now=now)
            self.places.append(CountedPlace(self.world.admission))
            return self.places[-1]

        self.world.admission.admit = counted  # type: ignore[method-assign]

    async def _send(self, message: Message) -> None:
        self.sent.append(message)
        self.on_send(message)
        await asyncio.sleep(0)

    async def answer(self, asked: Request) -> "Run":
        await self.world.pipeline().answer(asked, TENANT, self.reply, self.record)
        return self

    def assert_settled_once(self) -> None:
        assert [len(place.returned) for place in self.places] == [1]
        assert self.places[0].returned == [self.record.cost_usd]
        assert self.world.admission.in_flight == 0
        assert all(upstream.in_flight == 0 for upstream in self.world.upstreams.values())


def frames(*chunks: bytes, **more: Any) -> FakeAnswer:
    return FakeAnswer(chunks, headers=SSE, **more)
