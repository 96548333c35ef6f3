"""How a gateway replica learns that Serve stops it: Serve says so to the others only, by leaving it out of their list.

Serve waits for running requests, then kills the replica. This cuts them shortly before, so that each still gets its
error. Knows no list of its own: `listed` says whether this replica is in Serve's.
"""

import asyncio
from collections.abc import Callable
from typing import Protocol

LOOK_S = 0.5
CERTAIN_S = 2.0
"""So long unlisted, and it is no hiccup."""


class Leaving(Protocol):
    """What is told; see `serving.gateway.Gateway`."""

    def drain(self) -> None:
        """It is about to stop."""
        ...

    def resume(self) -> None:
        """It is not."""
        ...

    def cut(self) -> None:
        """Its time is over."""
        ...


async def follow(app: Leaving, listed: Callable[[], bool], *, grace_s: float, look_s: float = LOOK_S) -> None:
    """Tell `app` what becomes of its replica, from the first time it is listed until it was cut. Cancel to stop.

    `grace_s`: from being unlisted to the cut, seconds.
    """
    clock = asyncio.get_running_loop().time
    seen_s: float | None = None
    draining = False
    while not draining or seen_s is None or clock() - seen_s < grace_s:
        if listed():
            seen_s = clock()
            if draining:
                draining = False
                app.resume()
        elif not draining and seen_s is not None and clock() - seen_s >= min(CERTAIN_S, grace_s):
            draining = True
            app.drain()
        await asyncio.sleep(look_s)
    app.cut()
