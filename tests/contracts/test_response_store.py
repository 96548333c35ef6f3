"""One contract for every store of responses: the in-memory fake, and SQL over a SQLite file."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio

from serving.errors import StoreUnavailable
from serving.store.database import Database, database_url
from serving.store.responses import CANCELLED, COMPLETED, FAILED, IN_PROGRESS, QUEUED, KeptResponses, StoredResponse
from serving.store.sql_responses import PURGE_BATCH, SqlResponses
from tests.doubles.response_store import FakeResponseStore

ROW = StoredResponse(
    id="resp_1", tenant="acme", status=COMPLETED, created_s=100.25, beat_s=100.5, body=b'{"a":"\xc3\xa9"}', items=b"[]"
)
RUNNING = replace(ROW, id="resp_2", status=IN_PROGRESS)

Opened = Callable[[Path], AbstractAsyncContextManager[KeptResponses]]


@asynccontextmanager
async def fake(folder: Path) -> AsyncIterator[KeptResponses]:
    """The shipped fake."""
    yield FakeResponseStore()


@asynccontextmanager
async def sqlite(folder: Path) -> AsyncIterator[KeptResponses]:
    """A file of its own."""
    async with Database(database_url(None, folder)) as database:
        yield SqlResponses(database)


@pytest_asyncio.fixture(params=[fake, sqlite], ids=["fake", "sqlite"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[KeptResponses]:
    """An empty store."""
    opened: Opened = request.param
    async with opened(tmp_path) as store:
        yield store


async def test_what_was_saved_is_loaded_byte_for_byte(store: KeptResponses) -> None:
    await store.save(ROW)
    assert await store.load("acme", "resp_1") == ROW


async def test_nothing_is_loaded_that_was_never_saved(store: KeptResponses) -> None:
    assert await store.load("acme", "resp_1") is None


async def test_another_tenant_sees_changes_and_deletes_nothing(store: KeptResponses) -> None:
    await store.save(RUNNING)
    assert await store.load("rival", RUNNING.id) is None
    assert await store.advance("rival", RUNNING.id, status=CANCELLED, body=b"{}") is False
    assert await store.delete("rival", RUNNING.id) is False
    assert await store.load("acme", RUNNING.id) == RUNNING


async def test_an_id_is_taken_only_once(store: KeptResponses) -> None:
    await store.save(ROW)
    with pytest.raises(StoreUnavailable):
        await store.save(replace(ROW, tenant="rival"))
    assert await store.load("acme", "resp_1") == ROW


async def test_deleting_forgets_once(store: KeptResponses) -> None:
    await store.save(ROW)
    assert await store.delete("acme", "resp_1") is True
    assert await store.load("acme", "resp_1") is None
    assert await store.delete("acme", "resp_1") is False


async def test_an_active_response_advances(store: KeptResponses) -> None:
    await store.save(replace(RUNNING, status=QUEUED))
    assert await store.advance("acme", RUNNING.id, status=IN_PROGRESS, body=b"1") is True
    assert await store.advance("acme", RUNNING.id, status=COMPLETED, body=b"2") is True
    assert await store.load("acme", RUNNING.id) == replace(RUNNING, status=COMPLETED, body=b"2")


@pytest.mark.parametrize("status", [COMPLETED, FAILED, CANCELLED, "incomplete"])
async def test_an_ended_response_stays_as_it_is(store: KeptResponses, status: str) -> None:
    ended = replace(ROW, status=status)
    await store.save(ended)
    assert await store.advance("acme", ended.id, status=IN_PROGRESS, body=b"late") is False
    assert await store.load("acme", ended.id) == ended


async def test_of_two_ends_one_wins(store: KeptResponses) -> None:
    await store.save(RUNNING)
    ends = (COMPLETED, CANCELLED, FAILED, COMPLETED)
    won = await asyncio.gather(*(store.advance("acme", RUNNING.id, status=s, body=s.encode()) for s in ends))
    kept = await store.load("acme", RUNNING.id)
    assert sum(won) == 1
    assert kept is not None
    assert (kept.status, kept.body) == (ends[won.index(True)], ends[won.index(True)].encode())


async def test_a_beat_renews_what_is_active_and_tells_which_that_is(store: KeptResponses) -> None:
    await store.save(RUNNING)
    await store.save(ROW)
    assert await store.beat([RUNNING.id, ROW.id, "resp_gone"], now_s=200.0) == {RUNNING.id}
    assert await store.load("acme", RUNNING.id) == replace(RUNNING, beat_s=200.0)
    assert await store.load("acme", ROW.id) == ROW


async def test_purging_forgets_what_is_older_until_none_is_left(store: KeptResponses) -> None:
    for number in range(PURGE_BATCH + 5):
        await store.save(replace(ROW, id=f"old_{number}", created_s=10.0))
    await store.save(replace(ROW, created_s=20.0))
    counts = []
    while gone := await store.purge(before_s=20.0):
        counts.append(gone)
    assert sum(counts) == PURGE_BATCH + 5
    assert await store.load("acme", ROW.id) == replace(ROW, created_s=20.0)
