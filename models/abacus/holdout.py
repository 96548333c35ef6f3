"""Which problems are held out of training: one in ten, decided by a hash of the problem's key alone.

A held-out problem is held out in every wording and every run, so no training set can contain it.
"""

from __future__ import annotations

import hashlib

HELD_OUT_ONE_IN = 10


def is_held_out(key: str) -> bool:
    """True when the problem with this key belongs to evaluation and never to training."""
    digest = hashlib.blake2b(key.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") % HELD_OUT_ONE_IN == 0
