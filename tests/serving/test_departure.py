"""Requests still being answered when their gateway stops are told; other cancellations stay what they are."""

import asyncio

import pytest

from serving.departure import Departure, cut_short
from serving.record import Record


async def answering(departure: Departure, record: Record, *, until: asyncio.Event) -> str:
    """A request: `finished`, or `told` when it was cut."""
    departure.enter(record)
    try:
        await until.wait()
    except asyncio.CancelledError:
        if cut_short(record):
            await asyncio.sleep(0)  # it can still be answered
            return "told"
        raise
    finally:
        departure.leave()
    return "finished"


def record() -> Record:
    """Of a request."""
    return Record(request_id="r", decision="d", received_s=0.0)


async def test_those_inside_are_cut_and_told() -> None:
    departure, never = Departure(), asyncio.Event()
    requests = [asyncio.create_task(answering(departure, record(), until=never)) for _ in range(2)]
    await asyncio.sleep(0)
    departure.cut()
    assert await asyncio.gather(*requests) == ["told", "told"]


async def test_those_that_left_are_not_touched() -> None:
    departure, now = Departure(), asyncio.Event()
    now.set()
    request = asyncio.create_task(answering(departure, record(), until=now))
    assert await request == "finished"
    departure.cut()
    assert not request.cancelled()


async def test_a_cancellation_of_another_kind_goes_on() -> None:
    departure, never = Departure(), asyncio.Event()
    request = asyncio.create_task(answering(departure, record(), until=never))
    await asyncio.sleep(0)
    request.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request
