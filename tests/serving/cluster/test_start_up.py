"""Waiting: ready only when every application runs and every tier is proven, and never for ever."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest

from serving.cluster.ports import free_port
from serving.cluster.ray_head import ClusterError
from serving.cluster.start_up import IN_A_ROW, PROVE_S, Watched, missing_tiers, wait_until_ready
from serving.cluster.state import AppState

BOTH = frozenset({"gateway", "m"})


def state(name: str, status: str = "RUNNING", error: str = "") -> AppState:
    return AppState(name, status, 1, (), error)


@dataclass
class World:
    """A cluster as a script: each round takes the next entry, the last one stays. Time passes only by sleeping."""

    apps: list[Sequence[AppState]]
    missing: list[Sequence[str]]
    dies_after: int = 10**6
    rounds: int = 0
    now: float = 0.0
    shown: list[str] = field(default_factory=list)

    def show(self, apps: Sequence[AppState], note: str) -> None:
        self.shown.append(note)

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def wait(self, timeout_s: float = 1000) -> Sequence[str]:
        watched = Watched(
            lambda: self.apps[min(self.rounds, len(self.apps)) - 1],
            lambda: self.missing[min(self.rounds, len(self.missing)) - 1],
            self._alive,
        )
        return wait_until_ready(watched, BOTH, self, timeout_s=timeout_s, clock=lambda: self.now, sleep=self.sleep)

    def _alive(self) -> bool:
        self.rounds += 1
        return self.rounds <= self.dies_after


UP = [state("gateway"), state("m")]
STARTING = [state("gateway"), state("m", "DEPLOYING")]


def test_ready_takes_several_ready_answers_in_a_row() -> None:
    world = World([STARTING, UP], [["m (small): no live replica"], [], ["large: again"], []])
    assert world.wait() == []
    assert world.rounds == 3 + IN_A_ROW
    assert world.shown[0] == "m (small): no live replica"


def test_a_ready_gateway_in_front_of_a_model_that_still_starts_is_not_enough() -> None:
    world = World([STARTING, STARTING, STARTING, STARTING, STARTING, UP], [[]])
    assert world.wait() == []
    assert world.rounds == 5 + IN_A_ROW


def test_a_model_that_gave_up_ends_the_wait_once_the_others_are_up() -> None:
    failed = state("m", "DEPLOY_FAILED", "path does not exist")
    world = World([[state("gateway", "DEPLOYING"), failed], [state("gateway"), failed]], [["m: no live replica"]])
    assert world.wait() == ["m: path does not exist"]
    assert world.rounds == 2


def test_a_tier_that_never_answers_is_named() -> None:
    world = World([UP], [["hosted: probe failed"]])
    assert world.wait() == ["hosted: probe failed"]
    assert PROVE_S <= world.now < PROVE_S + 2


def test_models_that_never_start_end_with_the_timeout() -> None:
    world = World([STARTING], [["m: no live replica"]])
    assert world.wait(timeout_s=50) == ["m: no live replica"]
    assert 50 <= world.now < 52


def test_an_application_that_never_appears_ends_with_the_timeout() -> None:
    assert World([[state("gateway")]], [[]]).wait(timeout_s=50) == ["not every application is up"]


def test_other_applications_do_not_count() -> None:
    assert World([[*UP, state("other", "DEPLOY_FAILED")]], [[]]).wait() == []


def test_a_cluster_that_ended_ends_the_wait() -> None:
    with pytest.raises(ClusterError, match="Ray ended"):
        World([STARTING], [[]], dies_after=3).wait()


def answering(status: int, body: bytes) -> Callable[[], tuple[HTTPServer, str]]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    def start() -> tuple[HTTPServer, str]:
        server = HTTPServer(("127.0.0.1", 0), Handler)
        Thread(target=server.serve_forever, daemon=True).start()
        return server, f"http://127.0.0.1:{server.server_port}"

    return start


MISSING = json.dumps({"ready": False, "missing": [{"tier": "large", "model": "m", "reason": "no live replica"}]})


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (200, b'{"ready": true, "missing": []}', []),
        (503, MISSING.encode(), ["m (large): no live replica"]),
        (500, b"<html>no app yet</html>", ["the gateway is starting"]),
        (200, b"[]", ["the gateway is starting"]),
    ],
    ids=["ready", "missing", "html", "another shape"],
)
def test_what_ready_says(status: int, body: bytes, expected: list[str]) -> None:
    server, url = answering(status, body)()
    try:
        assert missing_tiers(url) == expected
    finally:
        server.shutdown()
        server.server_close()


def test_before_anything_is_deployed() -> None:
    assert missing_tiers("") == ["nothing is deployed yet"]


def test_a_gateway_that_does_not_listen() -> None:
    assert missing_tiers(f"http://127.0.0.1:{free_port()}") == ["the gateway does not answer yet"]
