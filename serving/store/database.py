"""One database, opened when it is first needed: SQLAlchemy behind bounded times and one kind of error.

Knows no table but the schema's. An operation that has begun is never cancelled half-way, whatever becomes of the
request that wanted it; everything foreign it raises becomes `StoreUnavailable`.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from serving.errors import ConfigError, StoreUnavailable
from serving.store.schema import prepare

T = TypeVar("T")
Operation = Callable[[AsyncConnection], Awaitable[T]]

BUSY_S = 2.0
"""How long SQLite waits for another writer, seconds."""
OPERATION_S = 5.0
"""How long a request waits for one operation, seconds."""
CONNECTIONS = 4
OPERATIONS = 2048
"""How many may be under way: those nobody waits for any more must not pile up before a store that hangs."""


def database_url(text: str | None, home: Path) -> URL:
    """`text`, or the file `state.db` in `home`. Raises `ConfigError` for what is no URL of an async driver."""
    if text is None:
        return URL.create("sqlite+aiosqlite", database=str(home / "state.db"))
    hint = "write it like sqlite+aiosqlite:////var/lib/millrace/state.db, with an installed async driver"
    try:
        url = make_url(text)
        is_async = url.get_dialect().is_async
    except (ArgumentError, NoSuchModuleError, ImportError) as error:
        raise ConfigError([f"store_url: not a database URL; {hint}"]) from error
    if not is_async:
        raise ConfigError([f"store_url: {url.drivername} is no async driver; {hint}"])
    return url


class Database:
    """An async context; closed, its operations have ended, or had their time, and its connections are gone."""

    def __init__(self, url: URL, *, operation_s: float = OPERATION_S, operations: int = OPERATIONS) -> None:
        self._url = url
        self._operation_s = operation_s
        self._operations = operations
        self._engine: AsyncEngine | None = None
        self._opening = asyncio.Lock()
        self._running: set[asyncio.Task[Any]] = set()

    async def __aenter__(self) -> "Database":
        return self

    async def __aexit__(self, *exc: object) -> None:
        if self._running:
            await asyncio.wait(self._running, timeout=self._operation_s)
        if self._engine is not None:
            await self._engine.dispose()

    async def run(self, operation: Operation[T]) -> T:
        """Run `operation` on a connection that commits each statement. Raises `StoreUnavailable`."""
        if len(self._running) >= self._operations:
            raise StoreUnavailable(f"{self._operations} operations wait for the store already")
        task = asyncio.ensure_future(self._translated(operation))
        self._running.add(task)
        task.add_done_callback(self._ended)
        try:
            return await asyncio.wait_for(asyncio.shield(task), self._operation_s)
        except TimeoutError as error:
            raise StoreUnavailable(f"the store did not answer within {self._operation_s:g} s") from error

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        if not task.cancelled():
            task.exception()  # seen: nobody may be waiting for it any more

    async def _translated(self, operation: Operation[T]) -> T:
        try:
            engine = self._engine or await self._open()
            async with engine.connect() as connection:
                return await operation(connection)
        except (SQLAlchemyError, OSError) as error:
            raise StoreUnavailable(f"the store cannot be used ({type(error).__name__})") from error

    async def _open(self) -> AsyncEngine:
        async with self._opening:
            if self._engine is None:
                engine = _engine(self._url)
                try:
                    async with engine.connect() as connection:
                        await prepare(connection)
                except BaseException:  # cancellation too: an engine that is not kept is disposed of
                    await engine.dispose()
                    raise
                self._engine = engine
        return self._engine


def _engine(url: URL) -> AsyncEngine:
    if url.get_backend_name() != "sqlite":
        return create_async_engine(url, isolation_level="AUTOCOMMIT", pool_timeout=BUSY_S, pool_pre_ping=True)
    if url.database:
        _private_file(Path(url.database))
    engine = create_async_engine(
        url,
        isolation_level="AUTOCOMMIT",
        connect_args={"timeout": BUSY_S},
        pool_size=CONNECTIONS,
        max_overflow=0,
        pool_timeout=BUSY_S,
        pool_reset_on_return=None,  # nothing to roll back: each statement commits, and each call is a thread switch
    )
    event.listen(engine.sync_engine, "connect", _tune)
    return engine


def _private_file(path: Path) -> None:
    """Prompts are kept in it, so only its owner may read it; SQLite gives its side files the same mode."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))


def _tune(connection: Any, record: object) -> None:
    """Readers beside one writer (WAL); a power cut may lose the last moments but never breaks the file."""
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout={int(BUSY_S * 1000)}")
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=NORMAL")
    cursor.close()
