"""Is the client still there? Work for one that has gone away is cancelled, and whoever waits for it is told.

Knows ASGI only. A server that can call back when a connection is lost saves every request a task of its own (`WATCH`).
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from starlette.types import Receive, Scope

from serving.wire.receive import ClientGone

WATCH = "millrace.watch"
"""The ASGI extension by which a server tells the app that the client is gone: `watch(gone)` has `gone` called then."""

Gone = Callable[[], object]


async def unless_gone(work: Coroutine[Any, Any, None], scope: Scope, receive: Receive) -> None:
    """Run `work` to its end, or cancel it and raise `ClientGone` as soon as the client goes away.

    `work` runs in the caller's own task, as under `asyncio.timeout`: a task more would cost every request a switch.
    """
    caller = asyncio.current_task()
    assert caller is not None
    working, gone = True, False

    def cut() -> None:
        nonlocal gone
        if working and not gone:
            gone = True
            caller.cancel()

    unwatch = _watched(scope, receive, cut)
    try:
        await work
    except asyncio.CancelledError:
        if not gone:
            raise
        caller.uncancel()
        raise ClientGone from None
    finally:
        working = False
        unwatch()


def _watched(scope: Scope, receive: Receive, gone: Gone) -> Gone:
    """Have `gone` called when the client goes away; gives what ends that."""
    watch = (scope.get("extensions") or {}).get(WATCH)
    if watch is not None:
        watch(gone)
        return _nothing  # the server forgets it with the request
    watcher = asyncio.ensure_future(_disconnect(receive))
    watcher.add_done_callback(lambda ended: None if ended.cancelled() else gone())
    return watcher.cancel


async def _disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _nothing() -> None:
    pass
