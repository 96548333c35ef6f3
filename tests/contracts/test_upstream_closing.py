"""The contract of `Upstream` at its ends: whoever closes or leaves early cancels the other side, once."""

import asyncio
from collections.abc import Awaitable

import pytest

from tests.contracts.upstream_rig import Rig, asking
from tests.doubles.stand_in_script import Script


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


async def impatient(sending: Awaitable[object]) -> None:
    """A task to cancel."""
    await sending


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


async def test_aclose_is_idempotent(rig: Rig) -> None:
    await rig.upstream.aclose()
    await rig.upstream.aclose()
