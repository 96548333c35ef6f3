"""The tables, and how a database gets them: safe when several gateways start at once on an empty one.

`schema_version` holds one number. A database of a newer version than `VERSION` is refused and left untouched; one of an
older version will be migrated here.
"""

import contextlib

from sqlalchemy import Column, Float, Index, Integer, LargeBinary, MetaData, String, Table, insert, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.schema import CreateIndex, CreateTable

from serving.errors import StoreUnavailable

VERSION = 1

METADATA = MetaData()

SCHEMA_VERSION = Table(
    "schema_version",
    METADATA,
    Column("only", Integer, primary_key=True, autoincrement=False),
    Column("version", Integer, nullable=False),
)

RESPONSES = Table(
    "responses",
    METADATA,
    Column("id", String(64), primary_key=True),
    Column("tenant", String(256), nullable=False),
    Column("status", String(16), nullable=False),
    Column("created_s", Float(53), nullable=False),
    Column("beat_s", Float(53), nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("items", LargeBinary, nullable=False),
)
CREATED = Index("responses_created_s", RESPONSES.c.created_s)


async def prepare(connection: AsyncConnection) -> None:
    """Create what is missing. `connection` commits each statement. Raises `StoreUnavailable` for a newer schema."""
    await connection.execute(CreateTable(SCHEMA_VERSION, if_not_exists=True))
    found = await _version(connection)
    if found > VERSION:
        raise StoreUnavailable(
            f"the store has schema version {found} and this gateway knows {VERSION}; upgrade it, or set store_url"
        )
    await connection.execute(CreateTable(RESPONSES, if_not_exists=True))
    await connection.execute(CreateIndex(CREATED, if_not_exists=True))


async def _version(connection: AsyncConnection) -> int:
    """The version of the database, which is `VERSION` for one that had none."""
    version = select(SCHEMA_VERSION.c.version).where(SCHEMA_VERSION.c.only == 1)
    found = (await connection.execute(version)).scalar()
    if found is None:
        with contextlib.suppress(IntegrityError):  # another gateway was faster
            await connection.execute(insert(SCHEMA_VERSION).values(only=1, version=VERSION))
        found = (await connection.execute(version)).scalar_one()
    return int(found)
