"""State from us, everything else from the inner app."""

import json
from typing import Any

import pytest

from serving.replica.app import EngineApp
from serving.replica.stats import EngineStats


async def inner(scope: Any, receive: Any, send: Any) -> None:
    await send({"inner": scope["type"]})


async def call(path: str, *, method: str = "GET", kind: str = "http") -> list[dict[str, Any]]:
    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    async def receive() -> dict[str, Any]:
        return {}

    stats = EngineStats(clock=lambda: 0.0)
    state = stats.state(model="m", replica="r", pid=7, pids=(8, 9), unfinished=4, problem=None)
    await EngineApp(inner, lambda: state)({"type": kind, "path": path, "method": method}, receive, send)  # type: ignore[arg-type]
    return sent


async def test_state_is_json_with_every_figure() -> None:
    start, body = await call("/engine/state")
    assert start["status"] == 200
    assert json.loads(body["body"]) == {
        "model": "m",
        "replica": "r",
        "pid": 7,
        "pids": [8, 9],
        "running": 0,
        "waiting": 0,
        "unfinished": 4,
        "kv_usage": 0.0,
        "prefix_queries": 0,
        "prefix_hits": 0,
        "prompt_tokens": 0,
        "generated_tokens": 0,
        "steps": 0,
        "last_step_age_s": None,
        "healthy": True,
        "problem": None,
    }


async def test_state_takes_get_only() -> None:
    start, body = await call("/engine/state", method="POST")
    assert start["status"] == 405
    assert json.loads(body["body"])["error"]["code"] == "method_not_allowed"


@pytest.mark.parametrize("path", ["/", "/v1/models", "/engine/state/", "/engine"])
async def test_other_paths_go_inside(path: str) -> None:
    assert await call(path) == [{"inner": "http"}]


@pytest.mark.parametrize("kind", ["lifespan", "websocket"])
async def test_other_protocols_go_inside(kind: str) -> None:
    assert await call("/engine/state", kind=kind) == [{"inner": kind}]
