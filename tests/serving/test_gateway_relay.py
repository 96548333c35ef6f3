"""What reaches the model and what comes back: bytes untouched, our headers added, nothing else let through."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.doubles import stand_in_wire as wire
from tests.doubles.running_gateway import ASKED, CHAT, GatewayServer, House, running_gateway
from tests.doubles.stand_in_process import StandInProcess

ROUTES: dict[str, dict[str, Any]] = {
    CHAT: {"messages": ASKED},
    "/v1/completions": {"prompt": "Sort 4 2 3."},
    "/v1/responses": {"input": "Sort 4 2 3.", "store": False},
    "/v1/messages": {"messages": ASKED, "max_tokens": 16},
}
WHOLE: dict[str, Callable[[wire.Answer], wire.Json]] = {
    CHAT: wire.chat,
    "/v1/completions": wire.completion,
    "/v1/responses": wire.response,
    "/v1/messages": wire.message,
}


def upstream_saw(stand_in: StandInProcess) -> dict[str, Any]:
    """The body the stand-in got."""
    body: dict[str, Any] = stand_in.state()["last"]["body"]
    return body


@pytest.mark.parametrize("path", ROUTES)
async def test_whole_answer_is_byte_for_byte_the_models(gateway: GatewayServer, path: str) -> None:
    answer = await gateway.ask(path, json={"model": "small-model"} | ROUTES[path])
    said = wire.answer_to(upstream_saw(gateway.house.small))
    assert answer.status == 200
    assert answer.body == json.dumps(WHOLE[path](said)).encode()


@pytest.mark.parametrize("path", ROUTES)
async def test_stream_is_byte_for_byte_the_models(gateway: GatewayServer, path: str) -> None:
    asked = {"model": "small-model", "stream": True} | ROUTES[path]
    if path in (CHAT, "/v1/completions"):
        asked["stream_options"] = {"include_usage": True}
    answer = await gateway.ask(path, json=asked)
    said = wire.answer_to(upstream_saw(gateway.house.small))
    frames: dict[str, list[bytes]] = {
        CHAT: wire.chat_frames(said, usage=True),
        "/v1/completions": wire.completion_frames(said, usage=True),
        "/v1/responses": wire.response_frames(said),
        "/v1/messages": wire.message_frames(said),
    }
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.frames == b"".join(frames[path])


@pytest.mark.parametrize("path", [CHAT, "/v1/completions"])
@pytest.mark.parametrize("delay_chunk_s", [0.0, 0.01], ids=["in one piece", "frame by frame"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"stream_options": None},
        {"stream_options": {}},
        {"stream_options": {"include_usage": False, "continuous_usage_stats": True}},
    ],
    ids=["not given", "null", "empty", "false"],
)  # fmt: skip
async def test_usage_is_asked_for_but_kept_from_who_did_not_ask(
    gateway: GatewayServer, path: str, delay_chunk_s: float, options: dict[str, Any]
) -> None:
    gateway.house.small.script({"delay_chunk_s": delay_chunk_s})
    answer = await gateway.ask(path, json={"model": "auto", "stream": True} | ROUTES[path] | options)
    sent = upstream_saw(gateway.house.small)
    assert sent["stream_options"] == {"include_usage": True}
    assert all("usage" not in event for event in answer.events)
    shapes = wire.chat_frames if path == CHAT else wire.completion_frames
    assert answer.frames == b"".join(shapes(wire.answer_to(sent), usage=False))


@pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
@pytest.mark.parametrize("path", ROUTES)
async def test_every_answer_says_how_it_was_made(gateway: GatewayServer, path: str, stream: bool) -> None:
    answer = await gateway.ask(path, json={"model": "auto", "stream": stream} | ROUTES[path])
    assert answer.headers["x-millrace-model"] == "small-model"
    assert answer.headers["x-millrace-tier"] == "small"
    assert answer.headers["x-millrace-attempts"] == "1"
    assert answer.headers["x-millrace-policy"] == "ladder"
    assert answer.headers["x-millrace-decision"].startswith("mrd-")
    assert "x-millrace-stand-in" not in answer.headers


async def test_cost_is_told(gateway: GatewayServer) -> None:
    whole = await gateway.chat(model="hosted-model")
    stream = await gateway.chat(model="hosted-model", stream=True)
    usage = whole.json()["usage"]
    cost_usd = usage["prompt_tokens"] * 1e-6 + usage["completion_tokens"] * 2e-6
    assert float(whole.headers["x-millrace-cost-usd"]) == pytest.approx(cost_usd)
    assert f": x-millrace-cost-usd={cost_usd:.9f}\n\n".encode() in stream.body


async def test_concrete_model_is_named_by_policy_direct(gateway: GatewayServer) -> None:
    answer = await gateway.chat(model="large-model")
    assert answer.headers["x-millrace-policy"] == "direct"
    assert answer.headers["x-millrace-model"] == "large-model"
    assert gateway.house.small.state()["requests"] == 0


async def test_stand_in_is_announced_and_gets_its_own_model_name(gateway: GatewayServer) -> None:
    answer = await gateway.chat(model="hosted-model")
    assert answer.headers["x-millrace-stand-in"] == "true"
    assert upstream_saw(gateway.house.hosted)["model"] == "stand-in-1"


async def test_score_chooses_the_tier(house: House, tmp_path: Path) -> None:
    async with running_gateway(house, tmp_path, scores={"small": 0.1, "large": 0.9}) as gateway:
        answer = await gateway.chat()
    assert answer.headers["x-millrace-tier"] == "large"
    assert answer.headers["x-millrace-attempts"] == "1"


async def test_unknown_fields_pass_and_dangerous_ones_do_not(gateway: GatewayServer) -> None:
    dangerous = {
        "cache_salt": "mine",
        "priority": -5,
        "chat_template": "{{ x }}",
        "chat_template_kwargs": {},
        "mm_processor_kwargs": {},
        "kv_transfer_params": {},
        "vllm_xargs": {},
        "routing": {"hosted": "never"},
    }
    await gateway.chat(temperature=0, tools=None, surprise={"kept": [1, None]}, **dangerous)
    sent = upstream_saw(gateway.house.small)
    assert sent["surprise"] == {"kept": [1, None]}
    assert sent["temperature"] == 0
    assert sent["messages"] == ASKED
    assert set(sent) & set(dangerous) <= {"cache_salt"}
    assert sent["cache_salt"] != "mine"


async def test_no_cache_salt_to_a_hosted_api(gateway: GatewayServer) -> None:
    await gateway.chat(model="hosted-model", cache_salt="mine")
    assert "cache_salt" not in upstream_saw(gateway.house.hosted)


@pytest.mark.parametrize("model", ["small-model", "hosted-model"])
async def test_clients_key_and_headers_stay_here(gateway: GatewayServer, model: str) -> None:
    headers = {"cookie": "a=b", "x-forwarded-for": "1.2.3.4", "openai-organization": "acme", "traceparent": "00-aa-01"}
    await gateway.ask(json={"model": model, "messages": ASKED}, headers=headers)
    stand_in = gateway.house.hosted if model == "hosted-model" else gateway.house.small
    seen = stand_in.state()["last"]["headers"]
    assert seen["authorization"] == "the expected key"
    assert seen["traceparent"] == "00-aa-01"
    assert not {"cookie", "x-forwarded-for", "openai-organization", "x-api-key"} & set(seen)


async def test_query_string_is_no_part_of_the_route(gateway: GatewayServer) -> None:
    answer = await gateway.ask("/v1/messages?beta=true", json={"model": "auto"} | ROUTES["/v1/messages"])
    assert answer.status == 200
    assert answer.headers["request-id"] == answer.headers["x-request-id"]


async def test_embeddings(gateway: GatewayServer) -> None:
    answer = await gateway.ask("/v1/embeddings", json={"model": "small-model", "input": ["a", "b"]})
    assert answer.json() == wire.embeddings(upstream_saw(gateway.house.small))


@pytest.mark.parametrize("status", [400, 413, 422])
@pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
async def test_what_the_model_has_against_the_request_is_passed_on(
    gateway: GatewayServer, status: int, stream: bool
) -> None:
    gateway.house.small.script({"status": status})
    answer = await gateway.chat(stream=stream)
    assert answer.status == status
    assert answer.error["message"] == f"The stand-in answers {status} as scripted."
    assert answer.headers["x-millrace-attempts"] == "1"
    assert gateway.house.large.state()["requests"] == 0


async def test_openai_client(gateway: GatewayServer) -> None:
    async with openai.AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key=gateway.key, max_retries=0) as client:
        raw = await client.chat.completions.with_raw_response.create(model="auto", messages=ASKED)
        stream = await client.chat.completions.create(
            model="auto", messages=ASKED, stream=True, stream_options={"include_usage": True}
        )
        chunks = [chunk async for chunk in stream]
        with pytest.raises(openai.NotFoundError) as unknown:
            await client.chat.completions.create(model="nothing", messages=ASKED)
    assert raw.headers["x-millrace-tier"] == "small"
    assert raw.parse().choices[0].message.content == "2 3 4"
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == "2 3 4"
    assert chunks[-1].usage is not None
    assert unknown.value.code == "model_not_found"
