"""Stored responses in a SQL database: each operation is one or two statements, and each statement commits by itself."""

from collections.abc import Collection
from dataclasses import asdict

from sqlalchemy import Delete, Insert, Update, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from serving.store.database import Database
from serving.store.responses import ACTIVE, StoredResponse
from serving.store.schema import RESPONSES

PURGE_BATCH = 200
"""Rows that one statement deletes at most: it holds the one writer's place as long as it takes."""

_AT = RESPONSES.c
_ACTIVE = _AT.status.in_(sorted(ACTIVE))


class SqlResponses:
    """See `serving.store.responses.KeptResponses`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def save(self, response: StoredResponse) -> None:
        """Keep a new response."""
        await self._changed(insert(RESPONSES).values(**asdict(response)))

    async def load(self, tenant: str, id: str) -> StoredResponse | None:
        """The tenant's response of that id."""
        wanted = select(RESPONSES).where(_AT.id == id, _AT.tenant == tenant)

        async def first(connection: AsyncConnection) -> StoredResponse | None:
            row = (await connection.execute(wanted)).mappings().first()
            return None if row is None else StoredResponse(**row)

        return await self._database.run(first)

    async def delete(self, tenant: str, id: str) -> bool:
        """Forget it."""
        return await self._changed(delete(RESPONSES).where(_AT.id == id, _AT.tenant == tenant)) > 0

    async def advance(self, tenant: str, id: str, *, status: str, body: bytes) -> bool:
        """Give it its next status and body, if it is active."""
        own = update(RESPONSES).where(_AT.id == id, _AT.tenant == tenant, _ACTIVE)
        return await self._changed(own.values(status=status, body=body)) > 0

    async def beat(self, ids: Collection[str], *, now_s: float) -> frozenset[str]:
        """Renew the sign of life of those that still are active."""
        active = _AT.id.in_(list(ids)), _ACTIVE
        renewed = update(RESPONSES).where(*active).values(beat_s=now_s)
        remaining = select(_AT.id).where(*active)

        async def renew(connection: AsyncConnection) -> frozenset[str]:
            await connection.execute(renewed)
            return frozenset((await connection.execute(remaining)).scalars())

        return await self._database.run(renew)

    async def purge(self, *, before_s: float) -> int:
        """Forget the next `PURGE_BATCH` of what was created before that time."""
        old = select(_AT.id).where(_AT.created_s < before_s).limit(PURGE_BATCH)
        return await self._changed(delete(RESPONSES).where(_AT.id.in_(old)))

    async def _changed(self, statement: Insert | Update | Delete) -> int:
        async def execute(connection: AsyncConnection) -> int:
            return (await connection.execute(statement)).rowcount

        return await self._database.run(execute)
