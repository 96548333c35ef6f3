"""Where the live replicas of a model come from. Knows no Ray: Serve's list is serving/cluster/serve_replicas.py."""

from collections.abc import Sequence
from typing import Protocol

from routing.picker import Replica


class ReplicaSource(Protocol):
    """The replicas of one model."""

    def replicas(self) -> Sequence[Replica]:
        """Those known to be live right now; empty when unknown. Never blocks, never raises, costs microseconds."""
        ...


class StaticReplicas:
    """A fixed list: the gateway in front of servers that nobody starts or stops for it."""

    def __init__(self, urls: Sequence[str]) -> None:
        self._replicas = tuple(Replica(url.split("//", 1)[-1], url.rstrip("/")) for url in urls)

    def replicas(self) -> Sequence[Replica]:
        """See `ReplicaSource.replicas`."""
        return self._replicas
