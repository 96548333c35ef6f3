"""The two sizes: dimensions, and the share of each band in training, which together make the ladder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from models.abacus.problem import Band

VOCABULARY_SIZE = 736
"""Rows of the embedding, a multiple of 32; the tokenizer has at most as many tokens."""
MAX_POSITIONS = 1024
ROPE_THETA = 10_000.0
NORM_EPS = 1e-5
HEAD_DIM = 32


@dataclass(frozen=True, slots=True)
class Size:
    """One model: its dimensions, its training mix and its schedule.

    `batch` counts problems per step; `descent` is the share of the steps, at the end, in which the learning rate falls;
    `emphasis` weights families that are slow to learn, 1 where it is silent.
    """

    name: str
    hidden: int
    layers: int
    heads: int
    feed_forward: int
    mix: Mapping[Band, float]
    steps: int
    batch: int
    learning_rate: float
    descent: float
    emphasis: Mapping[str, float] = field(default_factory=dict)


SMALL = Size(
    name="abacus-small",
    hidden=96,
    layers=3,
    heads=3,
    feed_forward=192,
    mix={Band.EASY: 0.94, Band.MEDIUM: 0.04, Band.HARD: 0.005, Band.EXPERT: 0.015},
    steps=2400,
    batch=256,
    learning_rate=4e-3,
    descent=0.35,
    emphasis=dict.fromkeys(("sum", "difference", "sequence", "count"), 1.5),
)
LARGE = Size(
    name="abacus-large",
    hidden=192,
    layers=4,
    heads=6,
    feed_forward=512,
    mix={Band.EASY: 0.28, Band.MEDIUM: 0.40, Band.HARD: 0.30, Band.EXPERT: 0.02},
    steps=5000,
    batch=128,
    learning_rate=2.5e-3,
    descent=0.5,
    emphasis=dict.fromkeys(("sum", "difference", "product", "comparison", "count", "weekday"), 2.0),
)
SIZES = {"small": SMALL, "large": LARGE}
