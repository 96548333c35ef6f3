"""Waits until what was deployed is ready, and says what is missing until then.

Ready is what the gateway's own `/ready` says: every tier has a replica that has produced a real token. A model that
gives up starting does not stop the others; the wait ends once every application is up or has given up.
"""

import json
import time
import urllib.error
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from serving.cluster.board import Board
from serving.cluster.direct_http import opened
from serving.cluster.ray_head import ClusterError
from serving.cluster.state import AppState

POLL_S = 0.5
PROVE_S = 120.0
"""How long every tier may take to produce its first token once all replicas are up."""
IN_A_ROW = 4
"""Ready answers wanted one after the other, because several gateway replicas answer and each proves for itself."""


@dataclass(frozen=True, slots=True)
class Watched:
    """What is asked while waiting: the applications, what `/ready` misses, and whether the cluster still runs."""

    apps: Callable[[], Sequence[AppState]]
    missing: Callable[[], Sequence[str]]
    alive: Callable[[], bool]


def wait_until_ready(
    watched: Watched,
    expected: frozenset[str],
    board: Board,
    *,
    timeout_s: float,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Sequence[str]:
    """Wait for the applications `expected` (names as in `AppState`) and the gateway.

    Returns what keeps it from being ready; nothing when it is. Raises `ClusterError` when the cluster is gone.
    """
    deadline = clock() + timeout_s
    proving_until = deadline
    in_a_row = 0
    while in_a_row < IN_A_ROW:
        if not watched.alive():
            raise ClusterError("Ray ended while the models were starting")
        apps = [app for app in watched.apps() if app.name in expected]
        missing = watched.missing()
        board.show(apps, "; ".join(missing))
        if failed := _given_up(apps, expected):
            return failed
        all_up = len(apps) == len(expected) and all(app.status == "RUNNING" for app in apps)
        proving_until = min(proving_until, clock() + PROVE_S) if all_up else deadline
        if clock() > proving_until:
            return missing or ["not every application is up"]
        in_a_row = in_a_row + 1 if all_up and not missing else 0
        sleep(0 if in_a_row else POLL_S)
    return []


def missing_tiers(url: str) -> list[str]:
    """What `/ready` of the gateway at `url` misses, a line each; none when ready. No `url`: nothing is deployed yet."""
    if not url:
        return ["nothing is deployed yet"]
    try:
        with opened(f"{url}/ready", timeout_s=5) as answer:
            body = answer.read()
    except urllib.error.HTTPError as error:
        body = error.read()
    except OSError:
        return ["the gateway does not answer yet"]
    return _missing(body)


def _missing(body: bytes) -> list[str]:
    try:
        report = json.loads(body)
        if report["ready"]:
            return []
        return [f"{one['model']} ({one['tier']}): {one['reason']}" for one in report["missing"]]
    except (ValueError, KeyError, TypeError):
        return ["the gateway is starting"]


def _given_up(apps: Sequence[AppState], expected: frozenset[str]) -> list[str]:
    """Why, once all that could start has started, the others did not."""
    if len(apps) < len(expected) or not all(app.settled for app in apps):
        return []
    return [f"{app.name}: {app.error or app.status}" for app in apps if app.failed]
