"""The gateway's limits: size and time of one request, places in flight and rates of many. Refusals name theirs."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.doubles.running_gateway import ASKED, CHAT, GatewayServer, House, chat_body, eventually, running_gateway
from tests.serving.refusal import assert_refused


async def nothing() -> AsyncIterator[bytes]:
    """A body that begins and never goes on."""
    yield b"{"
    await asyncio.Event().wait()


@pytest.mark.parametrize("chunked", [False, True], ids=["declared", "chunked"])
async def test_body_over_the_limit(house: House, tmp_path: Path, chunked: bool) -> None:
    raw = json.dumps(chat_body(padding="x" * 3000)).encode()

    async def parts() -> Any:
        for at in range(0, len(raw), 500):
            yield raw[at : at + 500]

    async with running_gateway(house, tmp_path, max_body_bytes=2000) as gateway:
        await gateway.stop_probing()
        answer = await gateway.ask(data=parts() if chunked else raw)
        await assert_refused(gateway, answer, 413, "body_too_large", "2000 bytes")
        within = await gateway.chat()
        assert within.status == 200


async def test_a_declared_body_is_refused_before_it_is_read(gateway: GatewayServer) -> None:
    answer = await gateway.ask(data=nothing(), headers={"content-length": "200000000"})
    await assert_refused(gateway, answer, 413, "body_too_large", "4194304 bytes")


async def test_compressed_body(gateway: GatewayServer) -> None:
    body = gzip.compress(json.dumps(chat_body()).encode())
    answer = await gateway.ask(data=body, headers={"content-encoding": "gzip"})
    assert answer.status == 200
    assert gateway.house.small.state()["last"]["body"]["messages"] == ASKED


@pytest.mark.parametrize(
    ("raw", "encoding", "status", "code", "says"),
    [
        (gzip.compress(bytes(3 * 1024 * 1024)), "gzip", 413, "body_too_large", "max_gzip_ratio"),
        (gzip.compress(bytes(64 * 1024 * 1024)), "gzip", 413, "body_too_large", "4194304 bytes"),
        (b"\x1f\x8b", "gzip", 400, "invalid_request", "cut short"),
        (b'{"model": "auto"}', "gzip", 400, "invalid_request", "not valid gzip"),
        (b"{}", "br", 415, "unsupported_content_encoding", "only gzip"),
        (b"{}", "deflate", 415, "unsupported_content_encoding", "only gzip"),
    ],
    ids=["bomb", "large bomb", "cut", "no gzip", "brotli", "deflate"],
)
async def test_compressed_body_that_is_not_taken(
    gateway: GatewayServer, raw: bytes, encoding: str, status: int, code: str, says: str
) -> None:
    answer = await gateway.ask(data=raw, headers={"content-encoding": encoding})
    await assert_refused(gateway, answer, status, code, says)


@pytest.mark.parametrize("path", [CHAT, "/v1/models", "/health"])
@pytest.mark.parametrize("many", [True, False], ids=["many", "large"])
async def test_headers_over_the_limit(gateway: GatewayServer, path: str, many: bool) -> None:
    headers = {f"x-{place}": "a" for place in range(110)} if many else {"x-large": "a" * 17_000}
    answer = await gateway.ask(path, method="POST" if path == CHAT else "GET", headers=headers, key=None)
    await assert_refused(gateway, answer, 431, "headers_too_large", "over the limit")
    assert answer.headers["x-should-retry"] == "false"


async def test_body_that_does_not_arrive(house: House, tmp_path: Path) -> None:
    async def silence() -> Any:
        yield b'{"model": '
        await asyncio.Event().wait()

    async with running_gateway(house, tmp_path, body_timeout_s=0.2) as gateway:
        await gateway.stop_probing()
        answer = await gateway.ask(data=silence())
        await assert_refused(gateway, answer, 408, "request_timeout")


async def test_over_the_limit_of_requests_in_flight(house: House, tmp_path: Path) -> None:
    async with running_gateway(house, tmp_path, max_in_flight=1) as gateway:
        await gateway.stop_probing()
        house.small.script({"delay_head_s": 60})
        first = asyncio.create_task(gateway.chat())
        await eventually(lambda: house.small.state()["in_flight"] == 1, "the first request is in flight")
        answer = await gateway.chat()
        first.cancel()
    assert answer.status == 503
    assert answer.error["code"] == "overloaded"
    assert int(answer.headers["retry-after"]) > 0


async def test_over_the_limit_no_body_is_read(house: House, tmp_path: Path) -> None:
    """An overloaded gateway must not fill its memory with bodies it will not answer."""
    async with running_gateway(house, tmp_path, max_in_flight=1) as gateway:
        await gateway.stop_probing()
        house.small.script({"delay_head_s": 60})
        first = asyncio.create_task(gateway.chat())
        await eventually(lambda: house.small.state()["in_flight"] == 1, "the first request is in flight")
        answer = await gateway.ask(data=nothing())
        first.cancel()
    assert (answer.status, answer.error["code"]) == (503, "overloaded")
    assert answer.headers["x-ratelimit-remaining-requests"] == "0"


async def test_every_authenticated_answer_shows_the_rate_limits(gateway: GatewayServer) -> None:
    names = [f"x-ratelimit-{word}-requests" for word in ("limit", "remaining", "reset")]
    for answer in (
        await gateway.chat(),
        await gateway.chat(model="nothing"),
        await gateway.chat(temperature="hot"),
        await gateway.get("/v1/models"),
        await gateway.get("/v1/responses/resp_none"),
        await gateway.ask("/v1/messages", json={}),
    ):
        assert [answer.headers[name] for name in names] == ["1024", "1024", "0s"]
    stranger = await gateway.ask(json=chat_body(), key=None)
    assert not set(names) & set(stranger.headers)


async def test_over_the_limit_of_requests_a_minute(house: House, tmp_path: Path) -> None:
    async with running_gateway(house, tmp_path, requests_per_minute=2, tokens_per_minute=100_000) as gateway:
        await gateway.stop_probing()
        first, _ = await gateway.chat(), await gateway.chat()
        answer = await gateway.chat()
    assert (first.headers["x-ratelimit-limit-requests"], first.headers["x-ratelimit-remaining-requests"]) == ("2", "1")
    assert first.headers["x-ratelimit-limit-tokens"] == "100000"
    assert (answer.status, answer.error["code"], answer.error["type"]) == (
        429,
        "rate_limit_exceeded",
        "rate_limit_error",
    )
    assert 1 <= int(answer.headers["retry-after"]) <= 30
    assert answer.headers["x-ratelimit-remaining-requests"] == "0"
    assert "x-should-retry" not in answer.headers


async def test_over_the_limit_of_tokens_a_minute(house: House, tmp_path: Path) -> None:
    async with running_gateway(house, tmp_path, tokens_per_minute=20) as gateway:
        await gateway.stop_probing()
        house.small.script(default={"answer": "word " * 200})
        first = await gateway.chat()
        answer = await gateway.chat()
    assert first.status == 200
    assert (answer.status, answer.error["code"]) == (429, "rate_limit_exceeded")
    assert "tokens a minute" in answer.error["message"]
