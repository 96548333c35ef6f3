"""What the two models must reach, band by band: the ladder as numbers. Knows nothing of how they are measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from models.abacus.problem import Band


@dataclass(frozen=True, slots=True)
class Bar:
    """The accuracy, from `low` to `high` inclusive, that a model must have in a band."""

    low: float = 0.0
    high: float = 1.0

    def holds(self, accuracy: float) -> bool:
        """True when the accuracy is inside the bar."""
        return self.low <= accuracy <= self.high

    def __str__(self) -> str:
        if self.low and self.high < 1:
            return f"{self.low:.0%} to {self.high:.0%}"
        return f"≥ {self.low:.0%}" if self.low else f"≤ {self.high:.0%}"


BARS: Mapping[str, Mapping[Band, Bar]] = {
    "abacus-small": {
        Band.EASY: Bar(low=0.95),
        Band.MEDIUM: Bar(low=0.40, high=0.75),
        Band.HARD: Bar(high=0.30),
        Band.EXPERT: Bar(high=0.20),
    },
    "abacus-large": {
        Band.EASY: Bar(low=0.97),
        Band.MEDIUM: Bar(low=0.93),
        Band.HARD: Bar(low=0.80),
        Band.EXPERT: Bar(high=0.20),
    },
}
