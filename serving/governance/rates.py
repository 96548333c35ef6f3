"""Requests and tokens a minute, per tenant: token buckets kept as one number each (GCRA), and their headers.

Synchronous; time is passed in, monotonic seconds. One gateway replica counts for itself. A request is counted when it
arrives; its tokens are reserved by an estimate and settled once with what was used, so a bucket may go into debt.
"""

from collections.abc import Callable, Mapping
from math import ceil
from typing import Protocol

from serving.errors import RateLimited

WINDOW_S = 60.0
BYTES_PER_TOKEN = 4
"""Of English text, roughly; good enough for a reservation that is corrected."""

Headers = Mapping[str, str]


class Passage(Protocol):
    """One request that was let in."""

    headers: Headers
    """The `x-ratelimit-*` headers of its answer."""

    def settle(self, tokens: int, *, now: float) -> None:
        """It used `tokens`, input and output together. Called once."""
        ...


class Rates(Protocol):
    """Decides how often a tenant may ask."""

    def admit(self, tenant: str, tokens: int, *, now: float) -> Passage:
        """Count one request and reserve an estimate of `tokens`.

        Raises `RateLimited` with the seconds until there is room; then nothing was counted.
        """
        ...

    def headers(self, tenant: str, *, now: float) -> Headers:
        """What the headers say to a tenant that asks for nothing just now."""
        ...

    def charge(self, tenant: str, tokens: int, *, now: float) -> None:
        """A request that was settled before it was done has used `tokens` since."""
        ...


class Unlimited:
    """No limit of its own: the headers show the places in flight of this gateway."""

    def __init__(self, limit: int, in_flight: Callable[[], int]) -> None:
        self._in_flight = in_flight
        self._limit = limit
        self._text = str(limit)

    @property
    def headers_now(self) -> Headers:
        """Places in all and free."""
        free = self._limit - self._in_flight()
        return {
            "x-ratelimit-limit-requests": self._text,
            "x-ratelimit-remaining-requests": str(free) if free > 0 else "0",
            "x-ratelimit-reset-requests": "0s" if free > 0 else "1s",
        }

    def headers(self, tenant: str, *, now: float) -> Headers:
        """See `Rates.headers`."""
        return self.headers_now

    def charge(self, tenant: str, tokens: int, *, now: float) -> None:
        """See `Rates.charge`; nothing is counted."""

    def admit(self, tenant: str, tokens: int, *, now: float) -> "FreePassage":
        """See `Rates.admit`."""
        return FreePassage(self.headers_now)


class FreePassage:
    """See `Passage`; nothing is counted."""

    __slots__ = ("headers",)

    def __init__(self, headers: Headers) -> None:
        self.headers = headers

    def settle(self, tokens: int, *, now: float) -> None:
        """See `Passage.settle`."""


class Bucket:
    """Holds `per_minute` at most and refills at that rate. All it remembers is when it will be full again."""

    __slots__ = ("_full_at", "_per_minute", "_text", "_unit_s")

    def __init__(self, per_minute: int) -> None:
        self._per_minute = per_minute
        self._unit_s = WINDOW_S / per_minute
        self._text = str(per_minute)
        self._full_at = 0.0

    def wait_s(self, amount: int, *, now: float) -> float:
        """Seconds until `amount` fits; 0 when it does now. More than the bucket holds fits when it is full."""
        amount = min(amount, self._per_minute)
        return max(0.0, max(self._full_at, now) + amount * self._unit_s - WINDOW_S - now)

    def take(self, amount: int, *, now: float) -> None:
        """Take `amount` out, into debt if need be; a negative one is put back."""
        self._full_at = max(self._full_at, now) + amount * self._unit_s

    def headers(self, kind: str, *, now: float) -> dict[str, str]:
        """Limit, what remains, and how long until all of it does."""
        reset_s = max(0.0, self._full_at - now)
        remaining = max(0, int((WINDOW_S - reset_s) / self._unit_s + 1e-6))
        return {
            f"x-ratelimit-limit-{kind}": self._text,
            f"x-ratelimit-remaining-{kind}": str(remaining),
            f"x-ratelimit-reset-{kind}": duration(reset_s),
        }


class Metered:
    """Limits per tenant. None leaves a kind unlimited; `otherwise` gives the headers of requests where they are."""

    def __init__(self, *, requests: int | None, tokens: int | None, otherwise: Rates) -> None:
        self._limits = {"requests": requests, "tokens": tokens}
        self._otherwise = otherwise
        self._tenants: dict[str, dict[str, Bucket]] = {}

    def admit(self, tenant: str, tokens: int, *, now: float) -> "MeteredPassage":
        """See `Rates.admit`."""
        buckets = self._buckets(tenant)
        for kind, amount in (("requests", 1), ("tokens", tokens)):
            wait_s = buckets[kind].wait_s(amount, now=now) if kind in buckets else 0.0
            if wait_s > 1e-6:
                limit = f"{self._limits[kind]} {kind} a minute (setting {kind}_per_minute)"
                raise RateLimited(
                    f"over the limit of {limit}; there is room again in {ceil(wait_s)} s", retry_after_s=ceil(wait_s)
                )
        if "requests" in buckets:
            buckets["requests"].take(1, now=now)
        meter = buckets.get("tokens")
        if meter is not None:
            meter.take(tokens, now=now)
        return MeteredPassage(self.headers(tenant, now=now), meter, tokens)

    def headers(self, tenant: str, *, now: float) -> Headers:
        """See `Rates.headers`."""
        shown: dict[str, str] = {}
        buckets = self._buckets(tenant)
        if "requests" not in buckets:
            shown.update(self._otherwise.headers(tenant, now=now))
        for kind, bucket in buckets.items():
            shown.update(bucket.headers(kind, now=now))
        return shown

    def charge(self, tenant: str, tokens: int, *, now: float) -> None:
        """See `Rates.charge`."""
        meter = self._buckets(tenant).get("tokens")
        if meter is not None:
            meter.take(tokens, now=now)

    def _buckets(self, tenant: str) -> dict[str, Bucket]:
        buckets = self._tenants.get(tenant)
        if buckets is None:
            limits = self._limits.items()
            buckets = self._tenants[tenant] = {kind: Bucket(limit) for kind, limit in limits if limit is not None}
        return buckets


class MeteredPassage:
    """See `Passage`. `meter`: the tenant's bucket of tokens, out of which `reserved` were taken."""

    __slots__ = ("_meter", "_reserved", "headers")

    def __init__(self, headers: Headers, meter: Bucket | None, reserved: int) -> None:
        self.headers = headers
        self._meter = meter
        self._reserved = reserved

    def settle(self, tokens: int, *, now: float) -> None:
        """See `Passage.settle`."""
        meter, self._meter = self._meter, None
        if meter is not None:
            meter.take(tokens - self._reserved, now=now)


def duration(seconds: float) -> str:
    """As OpenAI writes it: `0s`, `120ms`, `1s`, `6m0s`. Rounded up, so that waiting so long is enough."""
    if seconds <= 0:
        return "0s"
    if seconds < 0.9995:
        return f"{ceil(seconds * 1000)}ms"
    whole = ceil(seconds - 1e-9)
    return f"{whole // 60}m{whole % 60}s" if whole >= 60 else f"{whole}s"
