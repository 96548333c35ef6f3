"""The contract of `Upstream` where the other side fails: refused, cut and silent, each told apart.

Nothing here asserts on a duration.
"""

import importlib
import ssl
import time
from pathlib import Path

import aiohttp
import pytest

from models.spec import HostedSpec
from serving.errors import UpstreamDisconnected, UpstreamFailed, UpstreamRefused, UpstreamTimeout
from tests.contracts.upstream_rig import Rig, asking, drain, model, stand_in_answer, whole
from tests.doubles import stand_in_wire as wire
from tests.doubles.certificate import self_signed
from tests.doubles.stand_in_process import KEY, running_stand_in
from tests.doubles.stand_in_script import Script


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


async def test_silence_after_the_head_of_a_stream_is_a_timeout(rig: Rig) -> None:
    rig.script(Script(stall_after=0))
    response = await rig.upstream.send(asking(stream=True))
    received, failure = await drain(response.chunks())
    assert received == b""
    assert isinstance(failure, UpstreamTimeout)
    await response.close()
    await rig.until("cancelled", 1)


async def test_silence_in_a_body_is_a_timeout(rig: Rig) -> None:
    rig.script(Script(stall_after=1))
    with pytest.raises(UpstreamTimeout):
        await whole(rig.upstream, asking())


async def test_usable_after_a_failure(rig: Rig) -> None:
    rig.script(Script(cut_after=1))
    with pytest.raises(UpstreamFailed):
        await whole(rig.upstream, asking())
    rig.script(Script(answer="fine"))
    assert b"fine" in await whole(rig.upstream, asking())


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
