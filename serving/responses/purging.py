"""Forgets stored responses whose time is over, again and again."""

import asyncio
from collections.abc import Callable

import structlog

from serving.errors import StoreUnavailable
from serving.store.responses import ResponseUpkeep

PURGE_INTERVAL_S = 3600.0
DAY_S = 86_400.0


async def purge_forever(store: ResponseUpkeep, ttl_days: float, *, now: Callable[[], float]) -> None:
    """Purge every `PURGE_INTERVAL_S`. `now`: seconds since the epoch.

    The first round opens the store, so that what is wrong with it is logged when the gateway starts.
    """
    while True:
        try:
            while await store.purge(before_s=now() - ttl_days * DAY_S):
                pass
        except StoreUnavailable as error:
            structlog.get_logger().warning("store_unavailable", reason=error.message)
        await asyncio.sleep(PURGE_INTERVAL_S)
