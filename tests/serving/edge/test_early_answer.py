"""Answers before the end of a request close the connection; all others leave it open."""

import pytest
from starlette.types import Message, Receive, Scope, Send

from serving.edge.early_answer import closing_early

LENGTH = (b"content-length", b"6")
CHUNKED = (b"transfer-encoding", b"chunked")


async def headers_of(reads: int, *headers: tuple[bytes, bytes]) -> list[tuple[bytes, bytes]]:
    """Headers of the answer of an app that reads `reads` of the two parts of its request's body."""
    parts = iter([{"type": "http.request", "body": b"abc", "more_body": more} for more in (True, False)])
    sent: list[Message] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for _ in range(reads):
            await receive()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"a", b"b")]})

    async def receive() -> Message:
        return next(parts)

    async def send(message: Message) -> None:
        sent.append(message)

    await closing_early(app)({"type": "http", "headers": list(headers)}, receive, send)
    return list(sent[0]["headers"])


@pytest.mark.parametrize("reads", [0, 1], ids=["nothing read", "half of it read"])
@pytest.mark.parametrize("header", [LENGTH, CHUNKED], ids=["declared", "chunked"])
async def test_a_body_on_its_way_is_not_waited_for(reads: int, header: tuple[bytes, bytes]) -> None:
    assert await headers_of(reads, header) == [(b"a", b"b"), (b"connection", b"close")]


async def test_a_whole_request_leaves_the_connection_open() -> None:
    assert await headers_of(2, LENGTH) == [(b"a", b"b")]


@pytest.mark.parametrize("headers", [[], [(b"content-length", b"0")]], ids=["none", "empty"])
async def test_so_does_one_without_a_body(headers: list[tuple[bytes, bytes]]) -> None:
    assert await headers_of(0, *headers) == [(b"a", b"b")]
