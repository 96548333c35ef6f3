"""What is too old is forgotten, and a store that cannot be used is said so once and tried again later."""

import asyncio
from dataclasses import replace

import pytest
import structlog

from serving.responses.purging import DAY_S, purge_forever
from tests.contracts.test_response_store import ROW
from tests.doubles.response_store import FakeResponseStore
from tests.serving.asgi_call import until


async def purged(store: FakeResponseStore, *, calls: int) -> None:
    """Let it purge until the store was called so often."""
    task = asyncio.ensure_future(purge_forever(store, 2.0, now=lambda: 10 * DAY_S))
    await until(lambda: store.calls == calls)
    assert not task.done()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_what_is_older_than_its_time_is_forgotten() -> None:
    store = FakeResponseStore()
    for id, created_s in (("old", 8 * DAY_S - 1), ("young", 8 * DAY_S)):
        await store.save(replace(ROW, id=id, created_s=created_s))
    await purged(store, calls=2 + 2)
    assert list(store.rows) == ["young"]


async def test_a_broken_store_is_logged_and_purging_goes_on() -> None:
    store = FakeResponseStore()
    store.broken = True
    with structlog.testing.capture_logs() as lines:
        await purged(store, calls=1)
    assert [(line["event"], line["log_level"]) for line in lines] == [("store_unavailable", "warning")]
