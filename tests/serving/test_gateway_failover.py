"""Failing over is invisible before the first byte and honest after it.

Invariant S: a stream ends with `finish_reason` and `[DONE]`, with an error frame, or with an abrupt close; never
cleanly when it is truncated.
"""

import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import openai
import pytest

from models.spec import Timeouts
from tests.doubles import stand_in_wire as wire
from tests.doubles.running_gateway import (
    ASKED,
    CHAT,
    METRICS_TOKEN,
    GatewayServer,
    House,
    eventually,
    ladder_catalog,
    running_gateway,
)

IMPATIENT = Timeouts(connect_s=2.0, first_token_s=0.5, idle_s=0.5, total_s=0.5)

BEFORE_A_BYTE: dict[str, dict[str, Any]] = {
    "500": {"status": 500},
    "503": {"status": 503},
    "429": {"status": 429, "retry_after": "60"},
    "401 of ours": {"status": 401},
    "404 of ours": {"status": 404},
    "no head": {"hang": True},
}
STREAM_BEFORE_A_BYTE: dict[str, dict[str, Any]] = {
    "head, then cut": {"cut_after": 0, "delay_chunk_s": 0.01},
    "head, then a clean end": {"end_after": 0},
    "head, then silence": {"stall_after": 0},
    "error as the first frame": {"error_after": 0},
}
UNARY_BEFORE_A_BYTE: dict[str, dict[str, Any]] = {
    "half a body": {"cut_after": 1},
    "half a body, then silence": {"stall_after": 1},
    "no json": {"garbage": True},
}
AFTER_A_BYTE: dict[str, dict[str, Any]] = {
    "cut": {"cut_after": 3, "delay_chunk_s": 0.02},
    "clean end": {"end_after": 3, "delay_chunk_s": 0.02},
    "silence": {"stall_after": 3},
}


@pytest.fixture
async def impatient(house: House, tmp_path: Path) -> AsyncIterator[GatewayServer]:
    """A gateway that waits half a second for a token."""
    async with running_gateway(house, tmp_path, catalog=ladder_catalog(house, timeouts=IMPATIENT)) as server:
        await server.stop_probing()
        yield server


def assert_from_large(answer: Any) -> None:
    assert answer.status == 200, answer.body
    assert answer.headers["x-millrace-tier"] == "large"
    assert answer.headers["x-millrace-attempts"] == "2"


@pytest.mark.parametrize(
    "script", (BEFORE_A_BYTE | UNARY_BEFORE_A_BYTE).values(), ids=BEFORE_A_BYTE | UNARY_BEFORE_A_BYTE
)
async def test_next_tier_answers(impatient: GatewayServer, script: dict[str, Any]) -> None:
    impatient.house.small.script(script)
    answer = await impatient.chat()
    assert_from_large(answer)
    assert answer.json()["choices"][0]["message"]["content"] == "2 3 4"


@pytest.mark.parametrize(
    "script", (BEFORE_A_BYTE | STREAM_BEFORE_A_BYTE).values(), ids=BEFORE_A_BYTE | STREAM_BEFORE_A_BYTE
)
async def test_next_tier_streams_and_nothing_of_the_first_is_seen(
    impatient: GatewayServer, script: dict[str, Any]
) -> None:
    impatient.house.small.script(script)
    answer = await impatient.chat(stream=True)
    assert_from_large(answer)
    sent = impatient.house.large.state()["last"]["body"]
    assert answer.frames == b"".join(wire.chat_frames(wire.answer_to(sent), usage=False))


async def test_refused_connection_fails_over(house: House, tmp_path: Path) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        replicas = {"small-model": [url], "large-model": [house.large.url]}
        async with running_gateway(house, tmp_path, replicas=replicas, probe_interval_s=3600.0) as gateway:
            answer = await gateway.chat()
    assert (answer.status, answer.headers["x-millrace-tier"]) == (200, "large")


async def test_refused_connection_tries_the_other_replica_of_the_same_model(house: House, tmp_path: Path) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        replicas = {"small-model": [url, house.small.url], "large-model": [house.large.url]}
        async with running_gateway(house, tmp_path, replicas=replicas) as gateway:
            answers = [await gateway.chat() for _ in range(4)]
    assert {answer.headers["x-millrace-model"] for answer in answers} == {"small-model"}
    assert {answer.headers["x-millrace-attempts"] for answer in answers} == {"1"}


async def test_both_engines_down_reaches_the_hosted_api_and_says_so(gateway: GatewayServer) -> None:
    for engine in (gateway.house.small, gateway.house.large):
        engine.script(default={"status": 503})
    answer = await gateway.chat()
    assert answer.headers["x-millrace-tier"] == "hosted"
    assert answer.headers["x-millrace-attempts"] == "3"
    assert answer.headers["x-millrace-stand-in"] == "true"


@pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
async def test_hosted_never_means_never(gateway: GatewayServer, stream: bool) -> None:
    for engine in (gateway.house.small, gateway.house.large):
        engine.script(default={"status": 500})
    answer = await gateway.chat(stream=stream, routing={"hosted": "never"})
    assert answer.status == 503
    assert answer.error["code"] == "upstream_refused"
    assert gateway.house.hosted.state()["requests"] == 0


@pytest.mark.parametrize("routing", [{"deny": ["hosted"]}, {"allow": ["small", "large-model"]}], ids=["deny", "allow"])
async def test_allow_and_deny_bind(gateway: GatewayServer, routing: dict[str, Any]) -> None:
    for engine in (gateway.house.small, gateway.house.large):
        engine.script(default={"status": 500})
    answer = await gateway.chat(routing=routing)
    assert answer.status == 503
    assert gateway.house.hosted.state()["requests"] == 0


async def test_hosted_never_refuses_the_hosted_model_by_name(gateway: GatewayServer) -> None:
    answer = await gateway.chat(model="hosted-model", routing={"hosted": "never"})
    assert answer.status == 404
    assert answer.error["code"] == "no_route"
    assert gateway.house.hosted.state()["requests"] == 0


@pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
async def test_nobody_answers(gateway: GatewayServer, stream: bool) -> None:
    for stand_in in gateway.house.all:
        stand_in.script(default={"status": 503})
    answer = await gateway.chat(stream=stream)
    assert answer.status == 503
    assert set(answer.error) == {"message", "type", "param", "code"}
    assert answer.error["code"] == "upstream_refused"
    assert 0 < int(answer.headers["retry-after"]) <= 120
    assert answer.headers["x-millrace-attempts"] == "4"
    assert gateway.house.hosted.state()["requests"] == 2
    assert answer.headers["x-millrace-decision"]


async def test_concrete_model_stays_with_itself(gateway: GatewayServer) -> None:
    gateway.house.small.script(default={"status": 500})
    answer = await gateway.chat(model="small-model")
    assert answer.status == 503
    assert answer.error["code"] == "upstream_refused"
    assert gateway.house.large.state()["requests"] == gateway.house.hosted.state()["requests"] == 0


async def test_everything_silent_is_a_timeout(impatient: GatewayServer) -> None:
    for stand_in in impatient.house.all:
        stand_in.script(default={"hang": True})
    answer = await impatient.chat(stream=True)
    assert answer.status == 504
    assert answer.error["code"] == "upstream_timeout"


@pytest.mark.parametrize("script", AFTER_A_BYTE.values(), ids=AFTER_A_BYTE.keys())
async def test_truncated_stream_ends_with_an_error_frame(impatient: GatewayServer, script: dict[str, Any]) -> None:
    impatient.house.small.script(script)
    answer = await impatient.chat(stream=True)
    assert answer.status == 200
    *began, last = answer.events
    assert began
    assert began[0]["choices"][0]["delta"]["role"] == "assistant"
    assert set(last["error"]) == {"message", "type", "param", "code"}
    assert b"[DONE]" not in answer.body
    assert impatient.house.large.state()["requests"] == 0


async def test_error_frame_of_the_model_is_the_end(impatient: GatewayServer) -> None:
    impatient.house.small.script({"error_after": 3, "delay_chunk_s": 0.02})
    answer = await impatient.chat(stream=True)
    assert "error" in answer.events[-1]
    assert b"[DONE]" not in answer.body


@pytest.mark.parametrize("script", AFTER_A_BYTE.values(), ids=AFTER_A_BYTE.keys())
async def test_openai_client_raises_on_a_truncated_stream(impatient: GatewayServer, script: dict[str, Any]) -> None:
    impatient.house.small.script(script)
    async with openai.AsyncOpenAI(base_url=f"{impatient.url}/v1", api_key=impatient.key, max_retries=0) as client:
        stream = await client.chat.completions.create(model="auto", messages=ASKED, stream=True)
        with pytest.raises(openai.APIError) as failed:
            async for _ in stream:
                pass
    assert failed.value.code in ("upstream_disconnected", "upstream_timeout")


@pytest.mark.parametrize("script", AFTER_A_BYTE.values(), ids=AFTER_A_BYTE.keys())
async def test_truncated_messages_stream_ends_with_its_own_error_event(
    impatient: GatewayServer, script: dict[str, Any]
) -> None:
    impatient.house.small.script(script)
    asked = {"model": "auto", "messages": ASKED, "max_tokens": 16, "stream": True}
    answer = await impatient.ask("/v1/messages", json=asked)
    assert answer.events[-1]["type"] == "error"
    assert b"event: error\n" in answer.body
    assert b"message_stop" not in answer.body


@pytest.mark.parametrize("script", AFTER_A_BYTE.values(), ids=AFTER_A_BYTE.keys())
async def test_truncated_responses_stream_ends_with_response_failed(
    impatient: GatewayServer, script: dict[str, Any]
) -> None:
    after_a_delta = {fault: 6 for fault in script if fault.endswith("_after")}
    impatient.house.small.script(script | after_a_delta)
    answer = await impatient.ask("/v1/responses", json={"model": "auto", "input": "Sort 4 2 3.", "stream": True})
    failed, error = answer.events[-2:]
    assert failed["type"] == "response.failed"
    assert failed["response"]["status"] == "failed"
    assert set(error["error"]) == {"message", "type", "param", "code"}
    assert b"response.completed" not in answer.body


@pytest.mark.parametrize("cut_after", range(2, 7))
async def test_no_cut_is_ever_taken_for_success(gateway: GatewayServer, cut_after: int) -> None:
    gateway.house.small.script({"cut_after": cut_after, "delay_chunk_s": 0.02, "answer": "one two three four"})
    answer = await gateway.chat(stream=True)
    finished = answer.events[-1] == "[DONE]"
    assert finished != ("error" in answer.events[-1])
    assert not finished


async def test_request_takes_longer_than_it_may(house: House, tmp_path: Path) -> None:
    async with running_gateway(house, tmp_path, request_timeout_s=0.5) as gateway:
        await gateway.stop_probing()
        house.small.script({"delay_head_s": 60}, {"stall_after": 2})
        before_a_byte = await gateway.chat()
        after_a_byte = await gateway.chat(stream=True)
    assert before_a_byte.status == 504
    assert before_a_byte.error["code"] == "upstream_timeout"
    assert after_a_byte.events[-1]["error"]["code"] == "upstream_timeout"


@pytest.mark.parametrize("script", [{"status": 500}, {"cut_after": 1}, {"hang": True}], ids=["500", "cut", "hang"])
@pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
async def test_another_replica_of_the_same_model_comes_first(
    house: House, tmp_path: Path, script: dict[str, Any], stream: bool
) -> None:
    replicas = {"small-model": [house.small.url, house.large.url], "large-model": []}
    catalog = ladder_catalog(house, timeouts=IMPATIENT)
    async with running_gateway(house, tmp_path, catalog=catalog, replicas=replicas, probe_interval_s=3600.0) as gateway:
        for stand_in in house.all:
            stand_in.reset()
        house.small.script(default=script)
        answers = [await gateway.chat(stream=stream) for _ in range(2)]
    assert {answer.status for answer in answers} == {200}
    assert {answer.headers["x-millrace-model"] for answer in answers} == {"small-model"}
    assert sorted(answer.headers["x-millrace-attempts"] for answer in answers) == ["1", "2"]
    assert house.small.state()["requests"] == 1


async def test_an_ejected_replica_comes_back_by_a_probe_with_a_token(house: House, tmp_path: Path) -> None:
    replicas = {"small-model": [house.small.url], "large-model": [house.large.url]}
    async with running_gateway(house, tmp_path, replicas=replicas) as gateway:
        await gateway.stop_probing()
        house.small.script(default={"status": 503})
        assert_from_large(await gateway.chat())
        await eventually(lambda: unready(gateway, "small-model"), "the small model is out")
        assert (await gateway.chat()).headers["x-millrace-attempts"] == "1"
        direct = await gateway.chat(model="small-model")
        assert (direct.status, direct.error["code"]) == (503, "upstream_refused")
        house.small.reset()
        await eventually(lambda: unready(gateway, None), "it is back")
        assert (await gateway.chat()).headers["x-millrace-model"] == "small-model"
        page = (await gateway.get("/metrics", key=METRICS_TOKEN)).body.decode()
    assert 'millrace_replica_service_total{event="ejected",model="small-model"} 1.0' in page
    assert 'millrace_replica_service_total{event="readmitted",model="small-model"} 1.0' in page


async def test_a_request_does_not_wait_for_an_engine_that_hangs(house: House, tmp_path: Path) -> None:
    catalog = ladder_catalog(house, timeouts=Timeouts(first_token_s=600.0, total_s=600.0))
    patience = {"canary_interval_s": 0.2, "probe_timeout_s": 0.2}
    async with running_gateway(house, tmp_path, catalog=catalog, **patience) as gateway:
        await gateway.stop_probing()
        house.small.script(default={"hang": True})
        assert_from_large(await gateway.chat())
        await eventually(lambda: unready(gateway, "small-model"), "the small model is out")


async def unready(gateway: GatewayServer, model: str | None) -> bool:
    """Is `model` the only one missing, or with None no one?"""
    missing = (await gateway.get("/ready")).json()["missing"]
    return [one["model"] for one in missing] == ([] if model is None else [model])


async def test_an_api_that_keeps_failing_is_left_alone(gateway: GatewayServer) -> None:
    gateway.house.hosted.script(default={"status": 500})
    answers = [await gateway.chat(model="hosted-model") for _ in range(8)]
    assert {answer.status for answer in answers} == {503}
    assert answers[-1].headers["x-millrace-attempts"] == "1"
    assert 1 <= int(answers[-1].headers["retry-after"]) <= 5
    assert gateway.house.hosted.state()["requests"] == 5
    page = (await gateway.get("/metrics", key=METRICS_TOKEN)).body.decode()
    assert 'millrace_breaker_state{model="hosted-model"} 2.0' in page
    assert 'millrace_retries_total{cause="500",model="hosted-model"} 2.0' in page


async def test_fallbacks_are_counted(gateway: GatewayServer) -> None:
    gateway.house.small.script({"status": 500})
    await gateway.chat()
    page = (await gateway.get("/metrics", key=METRICS_TOKEN)).body.decode()
    assert 'millrace_fallbacks_total{from="small",to="large"} 1.0' in page


async def test_hosted_api_that_asks_for_a_long_pause_is_left_alone(gateway: GatewayServer) -> None:
    gateway.house.hosted.script({"status": 429, "retry_after": "60"})
    first = await gateway.chat(model="hosted-model")
    second = await gateway.chat(model="hosted-model")
    assert first.status == second.status == 503
    assert 0 < int(second.headers["retry-after"]) <= 60
    assert gateway.house.hosted.state()["requests"] == 1


async def test_hosted_api_that_asks_for_a_short_pause_is_asked_again(gateway: GatewayServer) -> None:
    gateway.house.hosted.script({"status": 429, "retry_after": "1"})
    answer = await gateway.ask(CHAT, json={"model": "hosted-model", "messages": ASKED})
    assert answer.status == 200
    assert gateway.house.hosted.state()["requests"] == 2
