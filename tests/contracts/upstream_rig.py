"""Every `Upstream` with both its ends: the in-process fake, an engine's and a hosted API's over real HTTP.

The HTTP ones talk to the stand-in process, whose counters show what really reached the other side.
"""

import asyncio
import contextlib
import importlib
import json
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import asdict, dataclass
from typing import Any

import aiohttp
import pytest

from models.spec import HostedSpec, ModelSpec, Price, Timeouts
from serving.errors import UpstreamFailed, UpstreamRefused
from serving.upstreams.replica_http import ReplicaHttp
from serving.upstreams.upstream import Upstream, UpstreamRequest
from tests.doubles import stand_in_wire as wire
from tests.doubles.stand_in_process import KEY, StandInProcess
from tests.doubles.stand_in_script import Script
from tests.doubles.upstream import FakeUpstream, following, refusing

SILENCE_S = 0.5
CHAT = "/v1/chat/completions"


@dataclass(frozen=True, slots=True)
class Rig:
    """One implementation under test, and both ends of it."""

    upstream: Upstream
    unreachable: Upstream
    """The same implementation with nobody at the other end."""
    script: Callable[[Script], None]
    state: Callable[[], dict[str, Any]]
    """Counters of the far end: requests, in_flight, cancelled."""

    async def until(self, counter: str, value: int) -> None:
        """Wait until the far end counts `value`."""
        end = time.monotonic() + 20
        while self.state()[counter] != value:
            assert time.monotonic() < end, f"{counter} is not {value}: {self.state()}"
            await asyncio.sleep(0.01)


def fake_rig(stand_in: StandInProcess) -> AbstractAsyncContextManager[Rig]:
    """The fake needs no far end."""

    @asynccontextmanager
    async def rig() -> AsyncIterator[Rig]:
        fake = FakeUpstream(silence_s=SILENCE_S)
        yield Rig(
            upstream=fake,
            unreachable=FakeUpstream(refusing(nobody_there())),
            script=lambda script: fake.next(following(script)),
            state=lambda: {"requests": len(fake.requests), "in_flight": fake.in_flight, "cancelled": fake.cancelled},
        )

    return rig()


def nobody_there() -> UpstreamRefused:
    """What a connection that is refused looks like."""
    refused = UpstreamRefused("nobody there")
    refused.sent = False
    return refused


def hosted_rig(stand_in: StandInProcess) -> AbstractAsyncContextManager[Rig]:
    """`HostedUpstream` against the stand-in."""
    hosted = pytest.importorskip("serving.hosted")

    def build(session: aiohttp.ClientSession, http: ReplicaHttp, url: str) -> Upstream:
        spec = model(HostedSpec(base_url=f"{url}/v1", model="stand-in-1", stand_in=True))
        upstream: Upstream = hosted.HostedUpstream(spec, spec.hosted, key=KEY, session=session, clock=time.time)
        return upstream

    return http_rig(stand_in, build)


def engine_rig(stand_in: StandInProcess) -> AbstractAsyncContextManager[Rig]:
    """`EngineUpstream` with one replica, which is the stand-in."""
    pytest.importorskip("serving.upstreams.replicas")
    from routing.picker import LeastOutstanding
    from serving.upstreams.engines import EngineUpstream
    from serving.upstreams.replicas import StaticReplicas

    def build(session: aiohttp.ClientSession, http: ReplicaHttp, url: str) -> Upstream:
        return EngineUpstream(
            model(None),
            source=StaticReplicas([url]),
            picker=LeastOutstanding(),
            http=http,
            token=KEY,
            clock=time.monotonic,
        )

    return http_rig(stand_in, build)


@asynccontextmanager
async def http_rig(
    stand_in: StandInProcess, build: Callable[[aiohttp.ClientSession, ReplicaHttp, str], Upstream]
) -> AsyncIterator[Rig]:
    """Any implementation over HTTP, built from a session and the far end's address."""
    transport = importlib.import_module("serving.upstreams.hosted_http")
    stand_in.reset()
    async with transport.open_session() as session, ReplicaHttp() as http:
        with free_port() as port:
            yield Rig(
                upstream=build(session, http, stand_in.url),
                unreachable=build(session, http, f"http://127.0.0.1:{port}"),
                script=lambda script: stand_in.script(default=asdict(script)),
                state=stand_in.state,
            )


def model(hosted: HostedSpec | None) -> ModelSpec:
    """A model with patience for `SILENCE_S`."""
    return ModelSpec(
        name="contract",
        tier="any",
        task="generate",
        context_length=1024,
        capabilities=frozenset({"chat"}),
        price=Price(),
        leaves_premises=False,
        timeouts=Timeouts(connect_s=5.0, first_token_s=SILENCE_S, idle_s=SILENCE_S, total_s=SILENCE_S),
        hosted=hosted,
    )


@contextlib.contextmanager
def free_port() -> Iterator[int]:
    """A port that is taken but not listened on, so that nobody else can answer there."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield int(taken.getsockname()[1])


def asking(**fields: Any) -> UpstreamRequest:
    """A chat request; `fields` join the body."""
    body = {"model": "stand-in-1", "messages": [{"role": "user", "content": "Sort 4 2 3."}]} | fields
    return UpstreamRequest(CHAT, json.dumps(body).encode(), "req-1", stream=bool(fields.get("stream")))


def stand_in_answer(request: UpstreamRequest) -> wire.Answer:
    """What the stand-in says to it."""
    return wire.answer_to(json.loads(request.body))


async def whole(upstream: Upstream, request: UpstreamRequest) -> bytes:
    """Send, read, close."""
    response = await upstream.send(request)
    try:
        return await response.read()
    finally:
        await response.close()


async def drain(chunks: AsyncIterator[bytes]) -> tuple[bytes, UpstreamFailed | None]:
    """What arrived, and what ended it."""
    received = b""
    try:
        async for chunk in chunks:
            received += chunk
    except UpstreamFailed as failure:
        return received, failure
    return received, None
