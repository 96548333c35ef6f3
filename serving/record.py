"""What happened to one request: filled in as it passes through the seven steps, read once when it is settled.

Holds no prompt and no answer text. Times are monotonic seconds (`time.perf_counter`).
"""

import msgspec

from routing.cascade import Attempt


class Usage(msgspec.Struct):
    """Tokens as the upstream counted them. `input` includes `cached`."""

    input: int = 0
    cached: int = 0
    output: int = 0
    estimated: bool = False
    """The upstream did not say, or was cut off before it could: a guess."""


class Tried(msgspec.Struct, frozen=True):
    """One attempt that was made. `outcome`: "ok", an error code, the upstream's status as text, or "cancelled"."""

    attempt: Attempt
    replica: str
    outcome: str
    busy_s: float
    """Seconds of the replica attributed to this attempt."""


class Record(msgspec.Struct):
    """The account of one request."""

    request_id: str
    decision: str
    received_s: float
    operation: str = "-"
    tenant: str = "-"
    asked_model: str = "-"
    stream: bool = False
    policy: str = "-"
    model: str = "-"
    tier: str = "-"
    replica: str = "-"
    scores: dict[str, float] = msgspec.field(default_factory=dict)
    tried: list[Tried] = msgspec.field(default_factory=list)
    first_byte_s: float | None = None
    chunk_times_s: list[float] = msgspec.field(default_factory=list)
    usage: Usage = msgspec.field(default_factory=Usage)
    cost_usd: float = 0.0
    client_retry: int | None = None
    """Which retry of its own the client says this is; None when it says nothing."""
    status: int = 0
    error: str | None = None
    stand_in: bool = False
    cut: bool = False
    """Its gateway stops and ends it; see `serving.departure`."""
