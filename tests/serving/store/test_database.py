"""The database opens late, bounds every wait, says one kind of error, and is shared by several gateways at once."""

import asyncio
import os
import sqlite3
import stat
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from serving.errors import ConfigError, StoreUnavailable
from serving.store.database import Database, database_url
from serving.store.schema import VERSION
from serving.store.sql_responses import SqlResponses
from tests.contracts.test_response_store import ROW


async def one(connection: AsyncConnection) -> int:
    return int((await connection.execute(text("SELECT 1"))).scalar_one())


def test_the_file_is_in_the_home_unless_a_url_is_given(tmp_path: Path) -> None:
    assert database_url(None, tmp_path).database == str(tmp_path / "state.db")
    assert database_url("sqlite+aiosqlite:////elsewhere/s.db", tmp_path).database == "/elsewhere/s.db"


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("state.db", "not a database URL"),
        ("nosuch+driver://x", "not a database URL"),
        ("sqlite:///state.db", "sqlite is no async driver"),
    ],
)
def test_a_wrong_url_is_refused_by_name(url: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as refused:
        database_url(url, tmp_path)
    assert f"store_url: {said}" in refused.value.problems[0]


async def test_nothing_is_created_before_it_is_needed(tmp_path: Path) -> None:
    async with Database(database_url(None, tmp_path)) as database:
        assert os.listdir(tmp_path) == []
        assert await database.run(one) == 1
        assert "state.db" in os.listdir(tmp_path)


async def test_only_its_owner_may_read_what_is_kept(tmp_path: Path) -> None:
    async with Database(database_url(None, tmp_path)) as database:
        await SqlResponses(database).save(ROW)
        modes = {name: stat.S_IMODE(os.stat(tmp_path / name).st_mode) for name in os.listdir(tmp_path)}
    assert modes == {"state.db": 0o600, "state.db-wal": 0o600, "state.db-shm": 0o600}


async def test_several_gateways_start_at_once_on_no_file(tmp_path: Path) -> None:
    databases = [Database(database_url(None, tmp_path)) for _ in range(6)]
    try:
        assert await asyncio.gather(*(database.run(one) for database in databases)) == [1] * 6
        await SqlResponses(databases[0]).save(ROW)
        assert await SqlResponses(databases[5]).load(ROW.tenant, ROW.id) == ROW
    finally:
        for database in databases:
            await database.__aexit__()


async def test_what_is_kept_outlives_the_gateway(tmp_path: Path) -> None:
    async with Database(database_url(None, tmp_path)) as database:
        await SqlResponses(database).save(ROW)
    async with Database(database_url(None, tmp_path)) as database:
        assert await SqlResponses(database).load(ROW.tenant, ROW.id) == ROW


async def test_a_newer_schema_is_refused_and_left_alone(tmp_path: Path) -> None:
    async with Database(database_url(None, tmp_path)) as database:
        await database.run(one)
    with sqlite3.connect(tmp_path / "state.db") as file:
        file.execute("UPDATE schema_version SET version = ?", (VERSION + 1,))
    file.close()
    async with Database(database_url(None, tmp_path)) as database:
        with pytest.raises(StoreUnavailable, match=f"schema version {VERSION + 1} and this gateway knows {VERSION}"):
            await database.run(one)


@pytest.mark.parametrize("broken", ["a folder", "no database"])
async def test_what_cannot_be_opened_is_unavailable_until_it_can(tmp_path: Path, broken: str) -> None:
    file = tmp_path / "state.db"
    file.mkdir() if broken == "a folder" else file.write_bytes(b"this is no database" * 100)
    async with Database(database_url(None, tmp_path)) as database:
        with pytest.raises(StoreUnavailable, match="the store cannot be used"):
            await database.run(one)
        file.rmdir() if broken == "a folder" else file.unlink()
        assert await database.run(one) == 1


async def test_a_locked_file_is_waited_for_only_so_long(tmp_path: Path) -> None:
    async with Database(database_url(None, tmp_path), operation_s=0.05) as database:
        await asyncio.wait_for(_opened(database), 20)
        other = sqlite3.connect(tmp_path / "state.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailable, match=r"did not answer within 0\.05 s"):
            await SqlResponses(database).save(ROW)
        other.execute("ROLLBACK")
        other.close()


async def test_what_nobody_waits_for_any_more_does_not_pile_up(tmp_path: Path) -> None:
    other = sqlite3.connect(tmp_path / "state.db", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    async with Database(database_url(None, tmp_path), operation_s=0.05, operations=2) as database:
        asked = await asyncio.gather(*(database.run(one) for _ in range(3)), return_exceptions=True)
        with pytest.raises(StoreUnavailable, match="2 operations wait"):
            await database.run(one)
        other.execute("ROLLBACK")
        other.close()
        await asyncio.wait_for(_opened(database), 20)
    assert all(isinstance(outcome, StoreUnavailable) for outcome in asked)


async def _opened(database: Database) -> None:
    while True:
        try:
            await database.run(one)
            return
        except StoreUnavailable:
            await asyncio.sleep(0)


async def test_an_operation_goes_on_when_nobody_waits_for_it_any_more(tmp_path: Path) -> None:
    async with Database(database_url(None, tmp_path)) as database:
        store = SqlResponses(database)
        await database.run(one)
        saving = asyncio.ensure_future(store.save(ROW))
        await asyncio.sleep(0)
        saving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await saving
    async with Database(database_url(None, tmp_path)) as database:
        assert await SqlResponses(database).load(ROW.tenant, ROW.id) == ROW


async def test_a_mistake_of_ours_is_not_called_unavailable(tmp_path: Path) -> None:
    async def wrong(connection: AsyncConnection) -> None:
        raise LookupError("ours")

    async with Database(database_url(None, tmp_path)) as database:
        with pytest.raises(LookupError, match="ours"):
            await database.run(wrong)
