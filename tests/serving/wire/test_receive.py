"""Who is asking and what they sent: keys, bodies within bounds, ids and headers that are harmless to pass on."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.errors import BadRequest, BodyTooLarge, RequestTimeout, Unauthenticated
from serving.keys import Tenant
from serving.wire.receive import ClientGone, authenticated, raw_key, read_body, relayed, request_id

Receive = Callable[[], Awaitable[dict[str, Any]]]


def saying(*parts: bytes, then: str | None = None) -> Receive:
    """A server that delivers `parts`; `then`: "disconnect", "silence", or the end of the body."""
    messages = [{"type": "http.request", "body": part, "more_body": True} for part in parts]
    if then is None:
        messages[-1]["more_body"] = False

    async def receive() -> dict[str, Any]:
        if messages:
            return messages.pop(0)
        if then == "silence":
            await asyncio.Event().wait()
        return {"type": "http.disconnect"}

    return receive


async def read(receive: Receive, *, limit: int = 10, timeout_s: float = 20.0, **headers: bytes) -> bytes:
    named = {name.replace("_", "-").encode(): value for name, value in headers.items()}
    return await read_body(receive, named, limit=limit, timeout_s=timeout_s)


@pytest.mark.parametrize(
    ("headers", "raw"),
    [
        ({b"authorization": b"Bearer mr-1"}, "mr-1"),
        ({b"authorization": b"bearer  mr-1 "}, "mr-1"),
        ({b"x-api-key": b"mr-1"}, "mr-1"),
        ({b"authorization": b"Basic abc", b"x-api-key": b"mr-1"}, "mr-1"),
        ({b"authorization": b"Bearer"}, ""),
        ({b"authorization": b"Basic abc"}, ""),
        ({b"authorization": b"Bearer \xff"}, "\xff"),
        ({}, ""),
    ],
)
def test_where_the_key_stands(headers: dict[bytes, bytes], raw: str) -> None:
    assert raw_key(headers) == raw


def test_every_bad_key_gets_the_same_answer() -> None:
    tenant = Tenant("acme", "k", "n")
    ring = {"mr-1": tenant}
    assert authenticated({b"x-api-key": b"mr-1"}, ring.get) == tenant
    said = set()
    for headers in ({}, {b"x-api-key": b"mr-2"}, {b"authorization": b"Bearer x' OR pg_sleep(8)--"}):
        with pytest.raises(Unauthenticated) as caught:
            authenticated(headers, ring.get)
        said.add(caught.value.message)
    assert len(said) == 1


async def test_a_body_in_parts_is_put_together() -> None:
    assert await read(saying(b"ab", b"", b"cd")) == b"abcd"
    assert await read(saying(b"")) == b""
    assert await read(saying(b"0123456789"), content_length=b"10") == b"0123456789"


@pytest.mark.parametrize("declared", [b"11", b"9" * 5000], ids=["over", "absurd"])
async def test_a_declared_body_over_the_limit_is_not_even_read(declared: bytes) -> None:
    receive = saying(b"x")
    with pytest.raises(BodyTooLarge, match="limit of 10 bytes"):
        await read(receive, content_length=declared)
    assert (await receive())["type"] == "http.request"


async def test_an_undeclared_body_over_the_limit_is_read_no_further() -> None:
    receive = saying(b"012345", b"678910", b"more", then="silence")
    with pytest.raises(BodyTooLarge):
        await read(receive)
    assert (await receive())["body"] == b"more"


async def test_a_body_that_does_not_arrive_in_time() -> None:
    with pytest.raises(RequestTimeout, match=r"within 0\.01 s"):
        await read(saying(b"a", then="silence"), timeout_s=0.01)


async def test_a_client_that_leaves_before_its_body_is_complete() -> None:
    with pytest.raises(ClientGone):
        await read(saying(b"a", then="disconnect"))


async def test_a_compressed_body_is_refused() -> None:
    with pytest.raises(BadRequest, match="content-encoding: not supported; send the body uncompressed"):
        await read(saying(b"a"), content_encoding=b"gzip")


@pytest.mark.parametrize("given_id", [b"a", b"req_1.2:3-4", b"x" * 128])
def test_a_harmless_request_id_is_kept(given_id: bytes) -> None:
    assert request_id({b"x-request-id": given_id}) == given_id.decode()


@given(st.binary(max_size=200))
def test_any_other_request_id_is_replaced(given_id: bytes) -> None:
    kept = request_id({b"x-request-id": given_id})
    assert kept.isascii()
    assert 0 < len(kept) <= 128
    assert not set(kept) & set("\r\n \"'<>")
    assert kept.startswith("req-") or kept.encode() == given_id


def test_request_ids_are_new_each_time() -> None:
    assert request_id({}) != request_id({})


def test_only_named_and_printable_headers_go_on() -> None:
    headers = {
        b"anthropic-version": b"2023-06-01",
        b"anthropic-beta": b"a\r\nx-evil: 1",
        b"traceparent": b"00-ab-cd-01",
        b"tracestate": b"x" * 5000,
        b"cookie": b"secret",
        b"authorization": b"Bearer mr-1",
    }
    assert relayed(headers) == {"anthropic-version": "2023-06-01", "traceparent": "00-ab-cd-01"}
