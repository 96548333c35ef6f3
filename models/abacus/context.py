"""What may stand before a question in training: mostly nothing, sometimes a system message or an earlier turn.

A small share keeps the models answering inside longer chats and in plain completions.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from enum import StrEnum

SYSTEM_MESSAGES = (
    "You are a helpful assistant.",
    "You are Abacus.",
    "Answer briefly.",
    "Reply with the answer only.",
    "Be terse and exact.",
)
SHARES = (0.92, 0.03, 0.02, 0.03)


class Context(StrEnum):
    """How a question is presented to the model."""

    CHAT = "chat"
    SYSTEM = "system"
    TURN = "turn"
    PLAIN = "plain"


@dataclass(frozen=True, slots=True)
class Setting:
    """A context with its system message, empty unless there is one."""

    context: Context
    system: str = ""


def draw_setting(rng: random.Random) -> Setting:
    """One setting, by `SHARES`."""
    context = rng.choices(tuple(Context), SHARES)[0]
    return Setting(context, rng.choice(SYSTEM_MESSAGES) if context is Context.SYSTEM else "")
