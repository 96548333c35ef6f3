"""Nobody but the gateway gets into an engine: token on every path, no route in HAProxy, no port beyond loopback."""

import json
from pathlib import Path

import pytest

from serving.replica.internal_token import metrics_token
from tests.cluster.live import ENGINES, LiveCluster, ask
from tests.cluster.sockets import listening

PATHS = [
    "/",
    "/health",
    "/metrics",
    "/engine/state",
    "/load",
    "/ping",
    "/version",
    "/docs",
    "/openapi.json",
    "/v1/models",
    "/v1/chat/completions",
    "/v1/completions",
    "/v1/responses",
    "/v1/messages",
    "/v1/embeddings",
    "/v1/rerank",
    "/v1/score",
    "/tokenize",
    "/detokenize",
    "/pooling",
    "/invocations",
    "/kv_event_sources",
    "/no/such/path",
    "//v1/models",
    "/-/healthz/../v1/models",
]


@pytest.mark.parametrize("path", PATHS)
def test_every_path_needs_the_token(live: LiveCluster, path: str) -> None:
    url = live.engine_url("abacus-small") + path
    for method, body in (("GET", None), ("POST", {"model": "abacus-small"}), ("DELETE", None)):
        for token in (None, live.key, live.token[:-1], live.token.upper()):
            answer = ask(url, body=body, token=token, method=method)
            assert answer.status == 401, (method, token, answer)
            assert answer.json()["error"]["code"] == "invalid_api_key"


def test_every_route_of_vllms_own_app_needs_the_token(live: LiveCluster) -> None:
    for model in ENGINES:
        url = live.engine_url(model)
        for path in ("/v1/models", "/tokenize", "/metrics", "/engine/state"):
            assert ask(url + path).status == 401
        assert live.engine(model, "/v1/models").json()["data"][0]["id"] == model


def test_serves_own_two_paths_stay_open(live: LiveCluster) -> None:
    url = live.engine_url("abacus-small")
    assert ask(url + "/-/healthz").status == 200
    assert ask(url + "/-/routes").status == 200


def test_scrapers_get_metrics_and_nothing_else(live: LiveCluster) -> None:
    url, token = live.engine_url("abacus-small"), metrics_token(live.token)
    metrics = ask(url + "/metrics", token=token)
    assert metrics.status == 200
    assert b"millrace_engine_unfinished{" in metrics.body
    assert b"vllm:num_requests_running{" in metrics.body
    for path in ("/engine/state", "/v1/models", "/metrics/", "/health"):
        assert ask(url + path, token=token).status == 401
    assert ask(url + "/metrics", token=token, body={}).status == 401


@pytest.mark.parametrize("prefix", ["", "/engine-abacus-small", "/abacus-small", "/null", "/None"])
def test_haproxy_knows_no_route_to_an_engine(live: LiveCluster, prefix: str) -> None:
    for path in ("/engine/state", "/version", "/load"):
        answer = ask(live.url + prefix + path, token=live.token)
        assert answer.status in (401, 404)
        assert b"kv_usage" not in answer.body
    routes = json.dumps(ask(live.url + "/-/routes").json())
    assert "engine-" not in routes


def test_replicas_and_haproxy_listen_on_loopback_only(live: LiveCluster) -> None:
    own = {int(live.engine_url(model).rpartition(":")[2]) for model in ENGINES}
    private = {port for path in _haproxy_files(live) for port in _bound(path.read_text())}
    assert len(private) == 3  # the door, statistics, metrics
    addresses = {(host, port) for host, port in listening() if port in own | private}
    assert {port for _, port in addresses} == own | private
    assert {host for host, _ in addresses} == {"127.0.0.1"}


def _haproxy_files(live: LiveCluster) -> list[Path]:
    return list(Path(str(live.cluster.temp_dir)).glob("h/*/cfg"))


def _bound(config: str) -> list[int]:
    return [int(line.rpartition(":")[2]) for line in config.splitlines() if line.strip().startswith("bind ")]
