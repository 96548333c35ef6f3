"""One contract for every `Upstream`: the in-process fake, an engine's and a hosted API's over real HTTP.

The HTTP ones talk to the stand-in process, whose counters show what really reached the other side. Nothing here
asserts on a duration.
"""

import asyncio
import contextlib
import importlib
import json
import socket
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from models.spec import HostedSpec, ModelSpec, Price, Timeouts
from serving.errors import UpstreamDisconnected, UpstreamFailed, UpstreamRefused, UpstreamTimeout
from serving.upstreams.replica_http import ReplicaHttp
from serving.upstreams.upstream import Upstream, UpstreamRequest
from tests.doubles import stand_in_wire as wire
from tests.doubles.certificate import self_signed
from tests.doubles.stand_in_process import KEY, StandInProcess, running_stand_in
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


@pytest.fixture(scope="module")
def stand_in(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandInProcess]:
    with running_stand_in(tmp_path_factory.mktemp("stand-in")) as process:
        yield process


@pytest.fixture(params=[fake_rig, hosted_rig, engine_rig], ids=["fake", "hosted", "engine"])
async def rig(request: pytest.FixtureRequest, stand_in: StandInProcess) -> AsyncIterator[Rig]:
    async with request.param(stand_in) as built:
        yield built


def asking(**fields: Any) -> UpstreamRequest:
    """A chat request; `fields` join the body."""
    body = {"model": "stand-in-1", "messages": [{"role": "user", "content": "Sort 4 2 3."}]} | fields
    return UpstreamRequest(CHAT, json.dumps(body).encode(), "req-1", stream=bool(fields.get("stream")))


def stand_in_answer(request: UpstreamRequest) -> wire.Answer:
    return wire.answer_to(json.loads(request.body))


async def test_whole_body_arrives_unchanged(rig: Rig) -> None:
    request = asking()
    response = await rig.upstream.send(request)
    assert await response.read() == json.dumps(wire.chat(stand_in_answer(request))).encode()
    await response.close()


async def test_chunks_joined_are_the_body(rig: Rig) -> None:
    request = asking(stream=True, stream_options={"include_usage": True})
    response = await rig.upstream.send(request)
    chunks = [chunk async for chunk in response.chunks()]
    assert b"".join(chunks) == b"".join(wire.chat_frames(stand_in_answer(request), usage=True))
    await response.close()


async def test_a_body_has_arrived_once_it_is_read_to_its_end(rig: Rig) -> None:
    rig.script(Script(stall_after=1))
    response = await rig.upstream.send(asking(stream=True))
    assert await anext(response.chunks())
    assert not response.arrived()
    await response.close()
    rig.script(Script())
    response = await rig.upstream.send(asking(stream=True))
    _ = [chunk async for chunk in response.chunks()]
    assert response.arrived()
    await response.close()


async def test_head_says_who_answered(rig: Rig) -> None:
    response = await rig.upstream.send(asking(stream=True))
    assert response.status == 200
    assert response.headers["content-type"].startswith("text/event-stream")
    assert all(name == name.lower() for name in response.headers)
    assert response.replica
    assert response.concurrency >= 1
    await response.close()


async def test_head_arrives_before_the_body(rig: Rig) -> None:
    rig.script(Script(stall_after=0))
    response = await rig.upstream.send(asking(stream=True))
    assert response.status == 200
    assert rig.state()["in_flight"] == 1
    await response.close()


async def test_first_chunk_arrives_before_the_second_is_sent(rig: Rig) -> None:
    rig.script(Script(stall_after=1))
    request = asking(stream=True)
    response = await rig.upstream.send(request)
    assert await anext(response.chunks()) == wire.chat_frames(stand_in_answer(request), usage=False)[0]
    await response.close()


@pytest.mark.parametrize("status", [400, 429, 500, 503])
@pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
async def test_any_status_is_a_response(rig: Rig, status: int, stream: bool) -> None:
    rig.script(Script(status=status))
    response = await rig.upstream.send(asking(stream=stream))
    assert response.status == status
    assert set(json.loads(await response.read())["error"]) == {"message", "type", "param", "code"}
    await response.close()


async def test_body_that_is_not_json_passes(rig: Rig) -> None:
    rig.script(Script(garbage=True))
    response = await rig.upstream.send(asking())
    assert (await response.read()).startswith(b"<html>")
    await response.close()


async def test_clean_end_without_done_is_no_transport_failure(rig: Rig) -> None:
    rig.script(Script(end_after=2))
    request = asking(stream=True)
    response = await rig.upstream.send(request)
    received = b"".join([chunk async for chunk in response.chunks()])
    assert received == b"".join(wire.chat_frames(stand_in_answer(request), usage=False)[:2])
    await response.close()


@pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
async def test_nobody_there_is_refused(rig: Rig, stream: bool) -> None:
    with pytest.raises(UpstreamRefused):
        await rig.unreachable.send(asking(stream=stream))


@pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
async def test_a_failure_says_who_failed_and_whether_anything_was_sent(rig: Rig, stream: bool) -> None:
    with pytest.raises(UpstreamRefused) as refused:
        await rig.unreachable.send(asking(stream=stream))
    rig.script(Script(hang=True))
    with pytest.raises(UpstreamTimeout) as late:
        await rig.upstream.send(asking(stream=stream))
    assert (refused.value.sent, late.value.sent) == (False, True)
    assert "-" not in (refused.value.replica, late.value.replica)


async def test_whom_to_avoid_is_no_spare(rig: Rig) -> None:
    response = await rig.upstream.send(asking())
    await response.close()
    assert rig.upstream.spare(())
    assert not rig.upstream.spare({response.replica})


@pytest.mark.parametrize("failure", [None, UpstreamDisconnected("judged")], ids=["good", "bad"])
async def test_a_verdict_is_heard(rig: Rig, failure: UpstreamFailed | None) -> None:
    response = await rig.upstream.send(asking())
    response.judged(failure)
    await response.close()


async def test_cut_stream_is_disconnected_after_what_arrived(rig: Rig) -> None:
    rig.script(Script(cut_after=2, delay_chunk_s=0.01))
    request = asking(stream=True)
    response = await rig.upstream.send(request)
    received, failure = await drain(response.chunks())
    assert isinstance(failure, UpstreamDisconnected)
    frames = b"".join(wire.chat_frames(stand_in_answer(request), usage=False)[:2])
    assert received
    assert frames.startswith(received)
    await response.close()


async def test_cut_body_is_disconnected(rig: Rig) -> None:
    rig.script(Script(cut_after=1))
    with pytest.raises(UpstreamDisconnected):
        await whole(rig.upstream, asking())


@pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
async def test_no_head_in_time_is_a_timeout_and_cancels(rig: Rig, stream: bool) -> None:
    rig.script(Script(hang=True))
    with pytest.raises(UpstreamTimeout):
        await rig.upstream.send(asking(stream=stream))
    await rig.until("in_flight", 0)
    assert rig.state()["cancelled"] == 1


async def test_silence_in_a_stream_is_a_timeout(rig: Rig) -> None:
    rig.script(Script(stall_after=2))
    response = await rig.upstream.send(asking(stream=True))
    received, failure = await drain(response.chunks())
    assert received
    assert isinstance(failure, UpstreamTimeout)
    await response.close()
    await rig.until("cancelled", 1)


async def test_silence_in_a_body_is_a_timeout(rig: Rig) -> None:
    rig.script(Script(stall_after=1))
    with pytest.raises(UpstreamTimeout):
        await whole(rig.upstream, asking())


@pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
async def test_closing_an_unfinished_response_cancels_upstream(rig: Rig, stream: bool) -> None:
    rig.script(Script(stall_after=1))
    response = await rig.upstream.send(asking(stream=stream))
    await anext(response.chunks())
    await response.close()
    await rig.until("cancelled", 1)
    assert rig.state()["in_flight"] == 0


async def test_closing_an_unread_response_cancels_upstream(rig: Rig) -> None:
    rig.script(Script(stall_after=0))
    response = await rig.upstream.send(asking(stream=True))
    await response.close()
    await rig.until("cancelled", 1)


async def test_abandoning_the_wait_for_the_head_cancels_upstream(rig: Rig) -> None:
    rig.script(Script(delay_head_s=60.0))
    waiting = asyncio.create_task(impatient(rig.upstream.send(asking(stream=True))))
    await rig.until("in_flight", 1)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await rig.until("cancelled", 1)


async def test_close_is_idempotent_and_cancels_nothing_that_is_finished(rig: Rig) -> None:
    response = await rig.upstream.send(asking(stream=True))
    await response.read()
    for _ in range(3):
        await response.close()
    await rig.until("in_flight", 0)
    assert rig.state()["cancelled"] == 0


async def test_close_twice_counts_once(rig: Rig) -> None:
    rig.script(Script(stall_after=1))
    response = await rig.upstream.send(asking(stream=True))
    await response.close()
    await response.close()
    await rig.until("in_flight", 0)
    assert rig.state()["cancelled"] == 1


async def test_concurrent_requests_get_their_own_answers(rig: Rig) -> None:
    requests = [asking(messages=[{"role": "user", "content": f"What is {n} + 1?"}]) for n in range(32)]
    answers = await asyncio.gather(*(whole(rig.upstream, request) for request in requests))
    texts = [json.loads(answer)["choices"][0]["message"]["content"] for answer in answers]
    assert texts == [str(n + 1) for n in range(32)]


async def test_usable_after_a_failure(rig: Rig) -> None:
    rig.script(Script(cut_after=1))
    with pytest.raises(UpstreamFailed):
        await whole(rig.upstream, asking())
    rig.script(Script(answer="fine"))
    assert b"fine" in await whole(rig.upstream, asking())


async def test_aclose_is_idempotent(rig: Rig) -> None:
    await rig.upstream.aclose()
    await rig.upstream.aclose()


@pytest.mark.parametrize("over_http", [hosted_rig, engine_rig], ids=["hosted", "engine"])
async def test_body_id_headers_and_key_reach_the_other_side(
    over_http: Callable[[StandInProcess], AbstractAsyncContextManager[Rig]], stand_in: StandInProcess
) -> None:
    async with over_http(stand_in) as rig:
        body = json.dumps({"model": "stand-in-1", "messages": [], "unknown": {"kept": [1, None]}}).encode()
        sent = UpstreamRequest(CHAT, body, "req-7", headers={"traceparent": "00-aa-bb-01"})
        await whole(rig.upstream, sent)
        last = rig.state()["last"]
    assert last["path"] == CHAT
    assert last["body"] == json.loads(body)
    assert last["headers"]["x-request-id"] == "req-7"
    assert last["headers"]["traceparent"] == "00-aa-bb-01"
    assert last["headers"]["authorization"] == "the expected key"


async def test_fake_records_what_was_sent() -> None:
    fake = FakeUpstream()
    request = asking()
    await whole(fake, request)
    assert fake.requests == [request]


async def test_hosted_refuses_a_certificate_nobody_vouches_for(tmp_path: Path) -> None:
    hosted = pytest.importorskip("serving.hosted")
    transport = importlib.import_module("serving.upstreams.hosted_http")
    certificate, key = self_signed(tmp_path)
    options = ["--tls-cert", str(certificate), "--tls-key", str(key)]
    with running_stand_in(tmp_path, scheme="https", options=options) as stand_in:
        spec = model(HostedSpec(base_url=stand_in.base_url, model="stand-in-1", stand_in=True))
        async with transport.open_session() as session:
            upstream = hosted.HostedUpstream(spec, spec.hosted, key=KEY, session=session, clock=time.time)
            with pytest.raises(UpstreamRefused) as refused:
                await upstream.send(asking())
        trusting = aiohttp.TCPConnector(ssl=ssl.create_default_context(cafile=certificate))
        async with aiohttp.ClientSession(connector=trusting) as session:
            upstream = hosted.HostedUpstream(spec, spec.hosted, key=KEY, session=session, clock=time.time)
            assert b"2 3 4" in await whole(upstream, asking())
    assert isinstance(refused.value.__cause__, aiohttp.ClientConnectorCertificateError)


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


async def impatient(sending: Awaitable[object]) -> None:
    """A task to cancel."""
    await sending
