"""What a client meets at HAProxy as Serve starts it with our environment and script; an echo plays the gateway."""

import asyncio
import contextlib
import json
import re
from collections.abc import Iterator
from threading import Thread

import pytest

from tests.doubles.front_process import Front, running_front
from tests.faults.raw import Answer, exchange

OWN = b'{"error":{"message":"the gateway\'s own"}}'
HAPROXY_ID = re.compile(r"req-[0-9a-f-]{36}")


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers with the request's head; `/503` with that status, `/die` not at all."""
    with contextlib.suppress(asyncio.IncompleteReadError, OSError):
        head = await reader.readuntil(b"\r\n\r\n")
        path = head.split()[1].decode()
        if path != "/die":
            status, body = (int(path[1:]), OWN) if path[1:].isdigit() else (200, head)
            writer.write(b"HTTP/1.1 %d Own\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % (status, len(body)))
            writer.write(body)
            await writer.drain()
    writer.close()


@pytest.fixture(scope="module")
def gateway_port() -> Iterator[int]:
    """Of the echo."""
    loop = asyncio.new_event_loop()
    server = loop.run_until_complete(asyncio.start_server(_serve, "127.0.0.1", 0, limit=2**20))
    thread = Thread(target=loop.run_forever)
    thread.start()
    yield int(server.sockets[0].getsockname()[1])
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    server.close()
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()


@pytest.fixture(scope="module")
def front(gateway_port: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    """HAProxy in front of it."""
    with running_front(tmp_path_factory.mktemp("front"), ports=[gateway_port]) as front:
        yield front


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    """HAProxy in front of nobody."""
    with running_front(tmp_path_factory.mktemp("alone"), ports=[9]) as front:
        yield front


def get(path: str, *headers: str) -> list[bytes]:
    """A request."""
    return ["\r\n".join([f"GET {path} HTTP/1.1", "host: x", *headers, "", ""]).encode("latin-1")]


def seen(answer: Answer) -> dict[str, list[str]]:
    """The headers that reached the gateway."""
    found: dict[str, list[str]] = {}
    for line in answer.body.decode("latin-1").split("\r\n")[1:]:
        name, colon, value = line.partition(": ")
        if colon:
            found.setdefault(name.lower(), []).append(value)
    return found


async def test_a_harmless_request_id_is_kept(front: Front) -> None:
    assert seen(await exchange(front.url, get("/", "x-request-id: mine-1")))["x-request-id"] == ["mine-1"]


@pytest.mark.parametrize(
    "headers",
    [[], ["x-request-id: a b"], ["x-request-id: \xff"], ["x-request-id: " + "a" * 129], ["x-request-id: a"] * 2],
    ids=["none", "a space", "no ascii", "too long", "two"],
)
async def test_any_other_is_replaced(front: Front, headers: list[str]) -> None:
    (id,) = seen(await exchange(front.url, get("/", *headers)))["x-request-id"]
    assert HAPROXY_ID.fullmatch(id)


@pytest.mark.parametrize(
    "name",
    [
        "x-request-timeout-seconds",
        "X-Request-Disconnect-Disabled",
        "x-session-id",
        "serve_multiplexed_model_id",
        "Serve-Multiplexed-Model-Id",
    ],
)
async def test_what_steers_serve_does_not_pass(front: Front, name: str) -> None:
    assert name.lower() not in seen(await exchange(front.url, get("/", f"{name}: 1")))


@pytest.mark.parametrize("status", [400, 408, 431, 500, 502, 503, 504])
async def test_the_gateways_own_errors_pass_untouched(front: Front, status: int) -> None:
    answer = await exchange(front.url, get(f"/{status}"))
    assert (answer.status, answer.body) == (status, OWN)


async def test_headers_over_any_limit_reach_the_gateway(front: Front) -> None:
    big = await exchange(front.url, get("/", "x-big: " + "x" * 200_000))
    many = await exchange(front.url, get("/", *[f"x-{number}: y" for number in range(900)]))
    assert len(seen(big)["x-big"][0]) == 200_000
    assert len(seen(many)) > 900


async def test_a_gateway_that_dies_on_a_request(front: Front) -> None:
    answer = await exchange(front.url, get("/die", "x-request-id: mine-2"))
    assert (answer.status, answer.error["code"]) == (502, "gateway_disconnected")
    assert set(answer.error) == {"message", "type", "param", "code"}
    assert b"x-request-id: mine-2" in answer.head


async def test_no_gateway_at_all(alone: Front) -> None:
    answer = await exchange(alone.url, get("/v1/chat/completions"))
    assert (answer.status, answer.error["code"]) == (503, "gateway_unavailable")
    assert re.search(rb"x-request-id: req-[0-9a-f-]{36}", answer.head)
    assert b"retry-after: 1" in answer.head


async def test_anthropics_clients_get_their_shape(alone: Front) -> None:
    answer = await exchange(alone.url, get("/v1/messages"))
    assert json.loads(answer.body)["type"] == "error"
    assert answer.error["message"]


def test_slow_bodies_end_before_the_gateway(front: Front) -> None:
    """How long they may take, the fault suite measures (row 26); here, that the rule is where it belongs."""
    config = front.config.read_text()
    backend = config[config.index("backend http-gateway\n") :]
    assert "http-request wait-for-body time 30s" in backend.split("\nbackend ")[0]
