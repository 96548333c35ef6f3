"""Admission: may this request start now? First version: a bound on what is in flight in this gateway replica.

Synchronous; time is passed in. A reservation is settled or abandoned exactly once, the first of the two wins.
"""

from typing import Protocol

from serving.errors import Overloaded


class Reservation(Protocol):
    """A place in the house, given back exactly once."""

    def settle(self, cost_usd: float) -> None:
        """The request was answered and cost this much."""
        ...

    def abandon(self) -> None:
        """The request came to nothing. Does nothing after `settle`."""
        ...


class Admission(Protocol):
    """Decides who may start."""

    def admit(self, tenant: str, *, now: float) -> Reservation:
        """Reserve a place for `tenant`. Raises `Overloaded`. `now`: monotonic seconds."""
        ...


class InFlightLimit:
    """At most `limit` requests at once, whoever sends them."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.in_flight = 0

    @property
    def limit(self) -> int:
        """How many that is."""
        return self._limit

    def admit(self, tenant: str, *, now: float) -> "Place":
        """See `Admission.admit`."""
        if self.in_flight >= self._limit:
            raise _full(self._limit)
        self.in_flight += 1
        return Place(self)


class Place:
    """One request in flight."""

    __slots__ = ("_limit",)

    def __init__(self, limit: InFlightLimit) -> None:
        self._limit: InFlightLimit | None = limit

    def settle(self, cost_usd: float) -> None:
        """See `Reservation.settle`."""
        self.abandon()

    def abandon(self) -> None:
        """See `Reservation.abandon`."""
        limit, self._limit = self._limit, None
        if limit is not None:
            limit.in_flight -= 1


class Intake:
    """The bodies of requests not admitted yet: with what is in flight never more than there are places, so overload
    buffers nothing.

    A context manager for whatever such a request waits for: its body, media, the store. Raises `Overloaded` on entry.
    """

    def __init__(self, places: InFlightLimit) -> None:
        self._places = places
        self.reading = 0

    def __enter__(self) -> None:
        if self.reading + self._places.in_flight >= self._places.limit:
            raise _full(self._places.limit)
        self.reading += 1

    def __exit__(self, *failure: object) -> None:
        self.reading -= 1


def _full(limit: int) -> Overloaded:
    return Overloaded(f"{limit} requests are in flight, which is the limit; retry in a moment")
