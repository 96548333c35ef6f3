"""The routes the gateway answers itself: alive, ready, models, metrics; and the request id on everything."""

import re
from pathlib import Path

import pytest

from tests.doubles.running_gateway import CHAT, METRICS_TOKEN, GatewayServer, House, eventually, running_gateway


async def test_health_needs_no_key_and_no_model(house: House, tmp_path: Path) -> None:
    async with running_gateway(house, tmp_path, replicas={}) as gateway:
        answer = await gateway.get("/health", key=None)
    assert (answer.status, answer.json()) == (200, {"status": "alive"})


async def test_ready_once_every_tier_produced_a_token(gateway: GatewayServer) -> None:
    answer = await gateway.get("/ready", key=None)
    assert (answer.status, answer.json()) == (200, {"ready": True, "missing": []})


async def test_ready_names_the_tier_without_a_replica(house: House, tmp_path: Path) -> None:
    async with running_gateway(house, tmp_path, replicas={"small-model": [house.small.url]}) as gateway:
        await eventually(lambda: house.hosted.state()["answered"], "the hosted API is probed")
        await eventually(lambda: house.small.state()["answered"], "the small model is probed")
        answer = await gateway.get("/ready", key=None)
    assert answer.status == 503
    assert [(one["tier"], one["model"], one["reason"]) for one in answer.json()["missing"]] == [
        ("large", "large-model", "no live replica")
    ]


async def test_ready_wants_a_real_token_not_a_connection(house: House, tmp_path: Path) -> None:
    house.large.script(default={"status": 500})
    async with running_gateway(house, tmp_path) as gateway:
        await eventually(lambda: house.large.state()["answered"] > 1, "the large model is probed")
        before = await gateway.get("/ready", key=None)
        house.large.script(default={})
        await gateway.stop_probing()
        after = await gateway.get("/ready", key=None)
    assert "large-model" in {one["model"] for one in before.json()["missing"]}
    assert before.status == 503
    assert after.status == 200


async def test_models_are_listed_with_tier_and_stand_in(gateway: GatewayServer) -> None:
    answer = await gateway.get("/v1/models")
    listed = {entry["id"]: (entry["tier"], entry["stand_in"]) for entry in answer.json()["data"]}
    assert answer.json()["object"] == "list"
    assert listed["small-model"] == ("small", False)
    assert listed["large-model"] == ("large", False)
    assert listed["hosted-model"] == ("hosted", True)
    assert "auto" in listed


@pytest.mark.parametrize("name", ["auto", "small-model", "hosted-model"])
async def test_one_model_is_retrieved(gateway: GatewayServer, name: str) -> None:
    answer = await gateway.get(f"/v1/models/{name}")
    assert answer.status == 200
    assert answer.json()["id"] == name
    assert answer.json()["object"] == "model"


@pytest.mark.parametrize("name", ["nothing", "small-model/x", ".."])
async def test_unknown_model_is_not_retrieved(gateway: GatewayServer, name: str) -> None:
    answer = await gateway.get(f"/v1/models/x-{name}")
    assert answer.status == 404
    assert answer.error["code"] == "model_not_found"


@pytest.mark.parametrize("path", ["/metrics", "/metrics/targets"])
@pytest.mark.parametrize("key", [None, "", "wrong"], ids=["no key", "a client's key", "a wrong token"])
async def test_metrics_need_the_metrics_token(gateway: GatewayServer, path: str, key: str | None) -> None:
    answer = await gateway.get(path, key=key)
    assert answer.status == 401
    assert answer.error["code"] == "invalid_api_key"


async def test_metrics_count_requests(gateway: GatewayServer) -> None:
    for _ in range(2):
        await gateway.chat()
    await gateway.chat(model="nothing")
    page = (await gateway.get("/metrics", key=METRICS_TOKEN)).body.decode()
    lines = [line for line in page.splitlines() if line.startswith("millrace_requests_total{")]
    good = next(line for line in lines if 'operation="chat"' in line and 'status="200"' in line)
    assert 'model="small-model"' in good
    assert good.endswith(" 2.0")
    assert any('status="404"' in line and line.endswith(" 1.0") for line in lines)


async def test_request_id_of_the_client_is_kept_and_ours_passed_on(gateway: GatewayServer) -> None:
    answer = await gateway.ask(json={"model": "auto", "messages": [{"role": "user"}]}, headers={"x-request-id": "my-1"})
    assert answer.headers["x-request-id"] == "my-1"
    sent = gateway.house.small.state()["last"]["headers"]["x-request-id"]
    assert sent == answer.headers["x-millrace-decision"] + "-1"


@pytest.mark.parametrize(
    "given", ["", "with space", "x" * 129, "a/b", '"q"'], ids=["empty", "space", "long", "slash", "quote"]
)
async def test_request_id_that_could_do_harm_is_replaced(gateway: GatewayServer, given: str) -> None:
    answer = await gateway.get("/health", headers={"x-request-id": given})
    assert re.fullmatch(r"req-[0-9a-f]{24}", answer.headers["x-request-id"])


@pytest.mark.parametrize("path", ["/health", "/ready", "/v1/models", "/metrics", "/nothing", CHAT])
async def test_request_id_is_on_every_answer(gateway: GatewayServer, path: str) -> None:
    first, second = [(await gateway.get(path)).headers["x-request-id"] for _ in range(2)]
    assert first != second
