"""What an attempt is expected to cost, USD: tokens bought, or GPU-seconds used, and the delay it means for the caller.

Knows nothing of quality or of which tier is better. Staying where a prefix is cached shows up as fewer uncached prompt
tokens, so stickiness needs no rule. Invariant: no cost falls when a price, a token count or a delay rises. Source:
docs/routing.md, "Cost".
"""

from dataclasses import dataclass
from math import fsum


@dataclass(frozen=True, slots=True)
class Work:
    """Tokens of one attempt. Raises `ValueError` for a negative count or more cached tokens than there are."""

    prompt_tokens: int
    output_tokens: float
    """Expected, or the most that may be generated."""
    cached_tokens: int = 0
    """Of the prompt, those whose keys and values the replica still holds."""

    def __post_init__(self) -> None:
        if not 0 <= self.cached_tokens <= self.prompt_tokens or self.output_tokens < 0:
            raise ValueError(f"no such work: {self}")


@dataclass(frozen=True, slots=True)
class HostedPrice:
    """A hosted model's price list, USD per million tokens. Raises `ValueError` for a price below 0."""

    input_usd: float
    output_usd: float
    cached_usd: float | None = None
    """Of cached input; that of all input where it has none of its own."""

    def __post_init__(self) -> None:
        if min(self.input_usd, self.output_usd, self.cached_usd or 0.0) < 0:
            raise ValueError(f"a price is below 0: {self}")

    def usd(self, work: Work) -> float:
        """What `work` is billed."""
        cached = self.input_usd if self.cached_usd is None else self.cached_usd
        uncached = work.prompt_tokens - work.cached_tokens
        parts = (uncached * self.input_usd, work.cached_tokens * cached, work.output_tokens * self.output_usd)
        return fsum(parts) / 1e6


@dataclass(frozen=True, slots=True)
class ReplicaRate:
    """A replica of our own as it runs now. Raises `ValueError` for a rate that is not above 0 or a price below 0."""

    gpu_usd_per_s: float
    """Of all its GPUs together."""
    prefill_tokens_per_s: float
    decode_tokens_per_s: float
    """All its requests together, at the batch it has now."""

    def __post_init__(self) -> None:
        if min(self.prefill_tokens_per_s, self.decode_tokens_per_s) <= 0 or self.gpu_usd_per_s < 0:
            raise ValueError(f"no such replica: {self}")

    def gpu_seconds(self, work: Work) -> float:
        """Of the replica's time: a batch shares it, so more requests at once make each one cheaper."""
        uncached = work.prompt_tokens - work.cached_tokens
        return uncached / self.prefill_tokens_per_s + work.output_tokens / self.decode_tokens_per_s

    def usd(self, work: Work) -> float:
        """GPU-seconds at their price."""
        return self.gpu_seconds(work) * self.gpu_usd_per_s


def delay_usd(ttft_s: float, *, usd_per_s: float) -> float:
    """What waiting `ttft_s` for the first token is worth: added when a tier is chosen, billed to nobody.

    `usd_per_s`: from the caller's deadline; 0 without one. Raises `ValueError` for a negative argument.
    """
    if ttft_s < 0 or usd_per_s < 0:
        raise ValueError(f"a delay of {ttft_s} s at {usd_per_s} USD/s: neither may be negative")
    return ttft_s * usd_per_s
