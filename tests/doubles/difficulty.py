"""A difficulty file that gives every prompt the same scores, so that routing in a test is the test's own choice."""

import math
from collections.abc import Mapping
from pathlib import Path

from routing.difficulty import LinearDifficulty, TierWeights
from routing.features import SURFACE
from routing.fitted import encode


def difficulty_file(folder: Path, scores: Mapping[str, float], *, threshold: float = 0.7) -> Path:
    """Write it into `folder`; `scores` maps a tier to the probability every prompt gets, strictly between 0 and 1."""
    tiers = {
        tier: TierWeights(bias=math.log(p / (1 - p)), surface=[0.0] * len(SURFACE), buckets=[0.0, 0.0])
        for tier, p in scores.items()
    }
    path = folder / "difficulty.json"
    path.write_bytes(encode(LinearDifficulty("test", tiers, threshold), record={}))
    return path
