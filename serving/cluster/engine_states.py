"""Asks every engine replica how it is: the load that `millrace status` shows.

Finds the replicas through the gateway's scrape targets and asks each `GET /engine/state` with the internal token.
A replica that cannot be asked is left out; nothing here raises because one did not answer.
"""

import json
import urllib.request
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from serving.cluster.direct_http import opened
from serving.cluster.state import EngineStates
from serving.replica.internal_token import metrics_token

TIMEOUT_S = 3.0


def read_engine_states(gateway_url: str, token: str) -> EngineStates:
    """The state of every engine replica the gateway knows, by replica id. `token`: the internal one."""
    targets = _get(f"{gateway_url}/metrics/targets", metrics_token(token)) or []
    addresses = [address for target in targets if _is_engine(target) for address in target["targets"]]
    with ThreadPoolExecutor(max_workers=16) as pool:
        return _by_replica(pool.map(lambda address: _get(f"http://{address}/engine/state", token), addresses))


def _is_engine(target: Mapping[str, Any]) -> bool:
    return bool(target["labels"].get("role") == "engine")


def _by_replica(states: Iterable[Any]) -> EngineStates:
    return {state["replica"]: state for state in states if state}


def _get(url: str, token: str) -> Any:
    """The JSON at `url`, None when there is none to be had."""
    try:
        request = urllib.request.Request(url, headers={"authorization": f"Bearer {token}"})
        with opened(request, timeout_s=TIMEOUT_S) as answer:
            return json.load(answer)
    except (OSError, ValueError):
        return None
