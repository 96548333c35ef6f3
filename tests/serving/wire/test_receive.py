"""Who is asking and what they sent: keys, bodies within bounds, ids and headers that are harmless to pass on."""

import asyncio
import gzip
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.errors import (
    BadRequest,
    BodyTooLarge,
    HeadersTooLarge,
    RequestTimeout,
    Unauthenticated,
    UnsupportedEncoding,
)
from serving.keys import Tenant
from serving.wire.limits import InputLimits
from serving.wire.receive import (
    BODY_GRACE_S,
    ClientGone,
    authenticated,
    body_time_s,
    check_headers,
    client_retry,
    declared_bytes,
    own_deadline_s,
    raw_key,
    read_body,
    relayed,
    request_id,
    time_left_s,
)

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
    limits = InputLimits(max_body_bytes=limit, body_timeout_s=timeout_s)
    return await read_body(receive, named, limits, path="/v1/chat/completions")


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
    with pytest.raises(RequestTimeout, match=r"it has 0\.01 s"):
        await read(saying(b"a", then="silence"), timeout_s=0.01)


async def test_a_client_that_leaves_before_its_body_is_complete() -> None:
    with pytest.raises(ClientGone):
        await read(saying(b"a", then="disconnect"))


@pytest.mark.parametrize("size", [0, 1024, 4 * 1024 * 1024])
def test_a_body_must_keep_to_a_rate_after_a_while(size: int) -> None:
    limits = InputLimits(body_timeout_s=60.0, min_body_bytes_per_s=1024)
    assert body_time_s(size, limits) == min(60.0, BODY_GRACE_S + size / 1024)


async def test_each_route_has_its_own_limit() -> None:
    limits = InputLimits(max_body_bytes=4, max_body_bytes_by_route={"/v1/embeddings": 2})
    assert await read_body(saying(b"abc"), {}, limits, path="/v1/chat/completions") == b"abc"
    with pytest.raises(BodyTooLarge, match="limit of 2 bytes"):
        await read_body(saying(b"abc"), {}, limits, path="/v1/embeddings")


@pytest.mark.parametrize("encoding", [b"gzip", b"GZIP", b"x-gzip"])
async def test_a_gzip_body_is_decompressed(encoding: bytes) -> None:
    packed = gzip.compress(b"0123456789" * 5)
    assert await read(saying(packed[:7], packed[7:]), limit=50, content_encoding=encoding) == b"0123456789" * 5


async def test_a_gzip_body_is_held_to_the_limit_of_what_it_becomes() -> None:
    with pytest.raises(BodyTooLarge, match="limit of 49 bytes"):
        await read(saying(gzip.compress(b"0123456789" * 5)), limit=49, content_encoding=b"gzip")


@pytest.mark.parametrize("raw", [gzip.compress(b"x" * 9)[:-4], b""], ids=["cut", "empty"])
async def test_a_gzip_body_that_is_cut_short(raw: bytes) -> None:
    with pytest.raises(BadRequest, match="cut short"):
        await read(saying(raw), limit=50, content_encoding=b"gzip")


@pytest.mark.parametrize("encoding", [b"br", b"deflate", b"zstd", b"gzip, gzip"])
async def test_other_encodings_are_not_understood(encoding: bytes) -> None:
    receive = saying(b"a")
    with pytest.raises(UnsupportedEncoding, match="only gzip"):
        await read(receive, content_encoding=encoding)
    assert (await receive())["type"] == "http.request"


def test_headers_are_counted_and_weighed() -> None:
    limits = InputLimits(max_headers=2, max_header_bytes=10)
    check_headers([(b"a", b"1234"), (b"b", b"1234")], limits)
    with pytest.raises(HeadersTooLarge, match="3 headers are over the limit of 2"):
        check_headers([(b"a", b"1")] * 3, limits)
    with pytest.raises(HeadersTooLarge, match="11 bytes of headers are over the limit of 10 bytes"):
        check_headers([(b"a", b"1234567890")], limits)


@pytest.mark.parametrize(("given", "seconds"), [(b"30", 30.0), (b"0.5", 0.5), (b"999999.25", 999999.25)])
def test_a_deadline_of_the_clients_own(given: bytes, seconds: float) -> None:
    assert own_deadline_s({b"x-millrace-timeout-s": given}) == seconds
    assert own_deadline_s({}) is None


@pytest.mark.parametrize(
    "given", [b"", b"0", b"0.0", b"-1", b"nan", b"inf", b"1e3", b"1_0", b"5 s", b"9999999", b"\xb2"]
)
def test_a_deadline_that_is_none(given: bytes) -> None:
    with pytest.raises(BadRequest, match="x-millrace-timeout-s: must be seconds") as caught:
        own_deadline_s({b"x-millrace-timeout-s": given})
    assert caught.value.param == "x-millrace-timeout-s"


def test_the_deadline_runs_from_the_first_byte_on() -> None:
    assert time_left_s(2.0, began_s=10.0, now=10.5) == 1.5
    assert 0 < time_left_s(2.0, began_s=10.0, now=13.0) < 0.01


@pytest.mark.parametrize(("given", "retry"), [(b"0", 0), (b"2", 2), (b"", None), (b"-1", None), (b"9999", None)])
def test_the_clients_own_retries_are_known(given: bytes, retry: int | None) -> None:
    assert client_retry({b"x-stainless-retry-count": given}) == retry


@pytest.mark.parametrize(("given", "size"), [(b"12", 12), (b"", 0), (b"x", 0), (b"-1", 0), (b"9" * 5000, 10**20 - 1)])
def test_what_content_length_says(given: bytes, size: int) -> None:
    assert declared_bytes({b"content-length": given}) == size


@pytest.mark.parametrize("given_id", [b"a", b"req_1.2:3-4", b"x" * 128])
def test_a_harmless_request_id_is_kept(given_id: bytes) -> None:
    assert request_id({b"x-request-id": given_id}, "req-1") == given_id.decode()


@given(st.binary(max_size=200))
def test_any_other_request_id_is_replaced(given_id: bytes) -> None:
    kept = request_id({b"x-request-id": given_id}, "req-1")
    assert kept.isascii()
    assert 0 < len(kept) <= 128
    assert not set(kept) & set("\r\n \"'<>")
    assert kept == "req-1" or kept.encode() == given_id


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
