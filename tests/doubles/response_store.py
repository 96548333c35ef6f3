"""Stored responses in memory: keeps the contract of `serving.store.responses`, held by tests/contracts.

`broken`: every call raises `StoreUnavailable`; `calls` counts them all.
"""

from collections.abc import Collection
from dataclasses import replace

from serving.errors import StoreUnavailable
from serving.store.responses import ACTIVE, StoredResponse


class FakeResponseStore:
    """See `serving.store.responses.KeptResponses`."""

    def __init__(self) -> None:
        self.rows: dict[str, StoredResponse] = {}
        self.broken = False
        self.calls = 0

    async def save(self, response: StoredResponse) -> None:
        """Keep a new response."""
        self._called()
        if response.id in self.rows:
            raise StoreUnavailable("the id is taken")
        self.rows[response.id] = response

    async def load(self, tenant: str, id: str) -> StoredResponse | None:
        """The tenant's response of that id."""
        self._called()
        return self._own(tenant, id)

    async def delete(self, tenant: str, id: str) -> bool:
        """Forget it."""
        self._called()
        return self._own(tenant, id) is not None and self.rows.pop(id) is not None

    async def advance(self, tenant: str, id: str, *, status: str, body: bytes) -> bool:
        """Give it its next status and body, if it is active."""
        self._called()
        row = self._own(tenant, id)
        if row is None or row.status not in ACTIVE:
            return False
        self.rows[id] = replace(row, status=status, body=body)
        return True

    async def beat(self, ids: Collection[str], *, now_s: float) -> frozenset[str]:
        """Renew the sign of life of those that still are active."""
        self._called()
        active = frozenset(id for id in ids if id in self.rows and self.rows[id].status in ACTIVE)
        for id in active:
            self.rows[id] = replace(self.rows[id], beat_s=now_s)
        return active

    async def purge(self, *, before_s: float) -> int:
        """Forget what was created before that time."""
        self._called()
        old = [id for id, row in self.rows.items() if row.created_s < before_s]
        for id in old:
            del self.rows[id]
        return len(old)

    def _own(self, tenant: str, id: str) -> StoredResponse | None:
        row = self.rows.get(id)
        return row if row is not None and row.tenant == tenant else None

    def _called(self) -> None:
        self.calls += 1
        if self.broken:
            raise StoreUnavailable("the store cannot be used (as told)")
