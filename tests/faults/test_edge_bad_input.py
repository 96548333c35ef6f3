"""Requests that are too big, too deep or no requests, over raw sockets: row 27 of the fault matrix.

Every one is refused with a status and an error object of the API's shape, by whoever sees it first, and none costs the
gateway memory. At the gateway's own port, and in the whole suite through HAProxy as shipped.
"""

import asyncio
import gzip
import json
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from tests.doubles.front_process import running_front
from tests.faults.asking import PATHS, body_of
from tests.faults.processes import Behind, LoneGateway, engine_model, engines, lone_gateway
from tests.faults.raw import Answer, address, exchange, post
from tests.figures import Figure

MODEL = "engine"
CHAT = PATHS["chat"]
MB = 1024 * 1024
LIMIT = 4 * MB
HUGE = 200 * MB
PIECE = b"x" * MB
GOOD = json.dumps(body_of("chat", model=MODEL, stream=False)).encode()
DEEP = b'{"model": "engine", "messages": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoneGateway]:
    """In front of one engine, with the limits that are the default."""
    with engines(1) as (engine,):
        behind = Behind([engine_model(MODEL, "small")], {MODEL: [engine.url]}, ladder=("small",))
        with lone_gateway(tmp_path_factory.mktemp("edge"), behind) as gateway:
            yield gateway


@pytest.fixture(scope="module", params=["gateway", pytest.param("front", marks=pytest.mark.faults)])
def url(
    request: pytest.FixtureRequest, gateway: LoneGateway, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """Where the client knocks."""
    if request.param == "gateway":
        yield gateway.url
        return
    with running_front(tmp_path_factory.mktemp("front"), ports=[address(gateway.url)[1]]) as front:
        yield front.url


def forget_peak(gateway: LoneGateway) -> None:
    """Count the most memory it holds from now on, see proc(5)."""
    Path(f"/proc/{gateway.pid}/clear_refs").write_text("5")


def check(answer: Answer, statuses: set[int]) -> None:
    """A refusal that any client can read."""
    assert answer.status in statuses, answer
    assert set(answer.error) == {"message", "type", "param", "code"}
    assert b"\r\nx-request-id: " in answer.head.lower()


def declared(key: str) -> Iterator[bytes]:
    """200 MB, announced."""
    yield post(CHAT, key, declared=HUGE)
    yield from [PIECE] * (HUGE // MB)


def chunked(key: str) -> Iterator[bytes]:
    """200 MB, not announced."""
    yield post(CHAT, key, b"", b"transfer-encoding: chunked", declared=-1)
    yield from [b"%x\r\n" % MB + PIECE + b"\r\n"] * (HUGE // MB)
    yield b"0\r\n\r\n"


def bomb(key: str) -> Iterator[bytes]:
    """200 MB in 200 KB."""
    packed = gzip.compress(b'{"model": "engine", "x": "' + b"x" * HUGE + b'"}')
    yield post(CHAT, key, packed, b"content-encoding: gzip")


@pytest.mark.row(27)
@pytest.mark.parametrize("body", [declared, chunked, bomb], ids=lambda body: body.__name__)
async def test_a_huge_body_costs_little(url: str, gateway: LoneGateway, figure: Figure, body: object) -> None:
    assert callable(body)
    pieces: Iterable[bytes] = body(gateway.key)
    await exchange(url, [post(CHAT, gateway.key, GOOD)])
    forget_peak(gateway)
    before = gateway.resident_bytes()
    answer = await exchange(url, pieces)
    grown = gateway.resident_bytes("VmHWM") - before
    check(answer, {413})
    assert grown < 2 * LIMIT
    figure(f"memory for 200 MB, {body.__name__}", grown / MB, "MB", 2 * LIMIT / MB, grown < 2 * LIMIT)


@pytest.mark.row(27)
async def test_a_big_body_within_the_limit_is_answered(url: str, gateway: LoneGateway) -> None:
    big = json.dumps(body_of("chat", model=MODEL, stream=False, prompt="x" * (3 * MB))).encode()
    assert (await exchange(url, [post(CHAT, gateway.key, big)])).status == 200


BAD: dict[str, tuple[set[int], bytes]] = {
    "deep": ({400}, DEEP),
    "NaN": ({400}, GOOD[:-1] + b', "temperature": NaN}'),
    "infinite": ({400}, GOOD[:-1] + b', "temperature": 1e400}'),
    "twice the same key": ({400}, GOOD[:-1] + b', "model": "other"}'),
    "no UTF-8": ({400}, GOOD[:-1] + b', "user": "\xff"}'),
    "no object": ({400}, b"[1, 2]"),
    "no JSON": ({400}, b"{"),
    "nothing": ({400}, b""),
}


@pytest.mark.row(27)
@pytest.mark.parametrize(("statuses", "body"), BAD.values(), ids=BAD)
async def test_a_body_that_is_no_request(url: str, gateway: LoneGateway, statuses: set[int], body: bytes) -> None:
    check(await exchange(url, [post(CHAT, gateway.key, body)]), statuses)


@pytest.mark.row(27)
async def test_headers_that_are_too_big(url: str, gateway: LoneGateway) -> None:
    big = b"x-big: " + b"x" * 200_000
    check(await exchange(url, [post(CHAT, gateway.key, GOOD, big)]), {431})


@pytest.mark.row(27)
async def test_headers_that_are_too_many(url: str, gateway: LoneGateway) -> None:
    many = [b"x-%d: y" % number for number in range(500)]
    check(await exchange(url, [post(CHAT, gateway.key, GOOD, *many)]), {431})


@pytest.mark.row(27)
async def test_a_good_request_after_all_that(url: str, gateway: LoneGateway) -> None:
    answers = await asyncio.gather(*(exchange(url, [post(CHAT, gateway.key, GOOD)]) for _ in range(8)))
    assert [answer.status for answer in answers] == [200] * 8
