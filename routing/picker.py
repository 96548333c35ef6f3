"""Which replica of a model gets the next attempt.

Knows nothing about how replicas are found or reached; counts are passed in. Never raises on a non-empty list.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Replica:
    """One live replica: a stable id and the base URL of its own HTTP port, e.g. `http://10.0.0.4:30001`."""

    id: str
    url: str


class ReplicaPicker(Protocol):
    """Chooses one of the live replicas."""

    def pick(self, replicas: Sequence[Replica], outstanding: Mapping[str, int]) -> Replica:
        """The replica to use. `replicas` is not empty; `outstanding` maps replica id to requests in flight here."""
        ...


class LeastOutstanding:
    """The replica with the fewest requests in flight; ties go round robin, so that equal replicas share the load."""

    def __init__(self) -> None:
        self._turn = 0

    def pick(self, replicas: Sequence[Replica], outstanding: Mapping[str, int]) -> Replica:
        """See `ReplicaPicker.pick`."""
        self._turn += 1
        start = self._turn % len(replicas)
        order = [*replicas[start:], *replicas[:start]]
        return min(order, key=lambda replica: outstanding.get(replica.id, 0))
