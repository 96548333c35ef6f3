"""The allow-list covers every operation once, and keeps the engine's other paths out."""

import pytest

from models.spec import OPERATIONS
from serving.wire.routes import CONTROL, RELAYED, Route
from serving.wire.sse import StreamWatch


def test_every_operation_has_a_route() -> None:
    assert {route.operation for route in RELAYED.values()} == set(OPERATIONS)
    assert all(path == route.path for path, route in RELAYED.items())
    assert not set(RELAYED) & set(CONTROL)


@pytest.mark.parametrize(
    "path", ["/invocations", "/pause", "/abort_requests", "/update_weights", "/detokenize", "/v1/load_lora_adapter"]
)
def test_engine_paths_that_nobody_may_reach(path: str) -> None:
    assert path not in RELAYED
    assert path not in CONTROL


@pytest.mark.parametrize("route", [route for route in RELAYED.values() if route.streams], ids=lambda route: route.path)
def test_every_streaming_route_has_a_known_ending(route: Route) -> None:
    assert not StreamWatch(route.operation, strip_usage=False).ended
