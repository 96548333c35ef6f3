"""The seam of stored responses: what is kept of one, and what a store can do with it.

Knows no database and nothing of what stands in the two JSON texts. Invariants: a row belongs to one tenant and is
invisible to every other; one that has ended is never changed again.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Protocol

QUEUED = "queued"
IN_PROGRESS = "in_progress"
COMPLETED = "completed"
FAILED = "failed"
CANCELLED = "cancelled"

ACTIVE = frozenset({QUEUED, IN_PROGRESS})
"""Statuses of a background response that is still to end."""


@dataclass(frozen=True, slots=True)
class StoredResponse:
    """One response. Times are seconds since the epoch."""

    id: str
    tenant: str
    status: str
    created_s: float
    beat_s: float
    """When the gateway that works on it last said that it is alive."""
    body: bytes
    """The response object as JSON."""
    items: bytes
    """Every item the model was given, earlier turns included, as a JSON list."""


class ResponseStore(Protocol):
    """Responses by tenant and id. Every method raises `StoreUnavailable` when the store cannot be used."""

    async def save(self, response: StoredResponse) -> None:
        """Keep a new response."""
        ...

    async def load(self, tenant: str, id: str) -> StoredResponse | None:
        """The response; None when there is none, or only another tenant's."""
        ...

    async def delete(self, tenant: str, id: str) -> bool:
        """Forget it. False when there was none to forget."""
        ...

    async def advance(self, tenant: str, id: str, *, status: str, body: bytes) -> bool:
        """Give an active response its next status and body. False, and nothing changes, when it is not active."""
        ...


class ResponseUpkeep(Protocol):
    """What has to be done to stored responses regularly. Raises as `ResponseStore` does."""

    async def beat(self, ids: Collection[str], *, now_s: float) -> frozenset[str]:
        """Say that these are being worked on; those of them that still are active."""
        ...

    async def purge(self, *, before_s: float) -> int:
        """Forget some of what was created before that time; how many, 0 when none is left."""
        ...


class KeptResponses(ResponseStore, ResponseUpkeep, Protocol):
    """Both at once: what an implementation offers."""
