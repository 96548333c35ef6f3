"""The first step: who is asking, and the bounded body they sent. Knows HTTP headers and ASGI's receive, no models."""

import asyncio
import re
from collections.abc import Callable, Mapping, Sequence
from itertools import chain

from starlette.types import Message, Receive

from serving.deadline import Deadline
from serving.errors import BadRequest, HeadersTooLarge, RequestTimeout, Unauthenticated, UnsupportedEncoding
from serving.keys import Tenant
from serving.wire.gunzip import Gunzip, too_large
from serving.wire.limits import InputLimits

Headers = Mapping[bytes, bytes]
"""As in an ASGI scope: names in lower case, the last of equal names."""

BODY_GRACE_S = 10.0
"""How long a body may take to begin before its rate counts, seconds."""
TIMEOUT_HEADER = b"x-millrace-timeout-s"
LEAST_S = 0.001

_SECONDS = re.compile(rb"\d{1,6}(\.\d{1,6})?")
_RETRIES = re.compile(rb"\d{1,3}")
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_RELAYED_HEADERS = (b"anthropic-version", b"anthropic-beta", b"traceparent", b"tracestate")
_RELAYED_VALUE = re.compile(rb"[\x20-\x7e]{1,4096}")


class ClientGone(Exception):
    """The client closed its connection: there is nobody left to answer."""


def authenticated(headers: Headers, authenticate: Callable[[str], Tenant | None]) -> Tenant:
    """The tenant of the key that was sent. Raises `Unauthenticated`, the same for every reason."""
    tenant = authenticate(raw_key(headers))
    if tenant is None:
        raise Unauthenticated("no valid API key; send one as 'Authorization: Bearer mr-…' or 'x-api-key: mr-…'")
    return tenant


def raw_key(headers: Headers) -> str:
    """The key as sent, by `Authorization: Bearer` or `x-api-key`; empty when there is none."""
    scheme, _, bearer = headers.get(b"authorization", b"").partition(b" ")
    raw = bearer.strip() if scheme.lower() == b"bearer" else headers.get(b"x-api-key", b"")
    return raw.decode("latin-1")


def check_headers(raw: Sequence[tuple[bytes, bytes]], limits: InputLimits) -> None:
    """Raises `HeadersTooLarge` for too many headers, or too many bytes of them. `raw`: as in an ASGI scope."""
    if len(raw) > limits.max_headers:
        raise HeadersTooLarge(f"{len(raw)} headers are over the limit of {limits.max_headers} (setting max_headers)")
    size = sum(map(len, chain.from_iterable(raw)))
    if size > limits.max_header_bytes:
        limit = f"the limit of {limits.max_header_bytes} bytes (setting max_header_bytes)"
        raise HeadersTooLarge(f"{size} bytes of headers are over {limit}")


async def read_body(receive: Receive, headers: Headers, limits: InputLimits, *, path: str) -> bytes:
    """The whole body, decompressed. Nothing of it is kept beyond the limit of `path`, and a block.

    Raises `BodyTooLarge` as soon as it is known to be, before reading when it is declared; `UnsupportedEncoding`,
    `RequestTimeout`, `BadRequest` (broken gzip), `ClientGone`.
    """
    encoding = headers.get(b"content-encoding", b"identity").strip().lower()
    if encoding not in (b"identity", b"gzip", b"x-gzip", b""):
        raise UnsupportedEncoding("content-encoding: only gzip is supported; or send the body uncompressed")
    limit = limits.body_bytes(path)
    if declared_bytes(headers) > limit:
        raise too_large(limit)
    gunzip = Gunzip(limit, limits.max_gzip_ratio) if b"gzip" in encoding else None
    loop, size = asyncio.get_running_loop(), 0
    parts: list[bytes] = []
    began_s = loop.time()
    try:
        with Deadline(began_s + body_time_s(0, limits)) as patience:
            while True:
                message: Message = await receive()
                if message["type"] == "http.disconnect":
                    raise ClientGone
                part = message.get("body", b"")
                size += len(part)
                if size > limit:
                    raise too_large(limit)
                parts += [part] if gunzip is None else gunzip.feed(part)
                if not message.get("more_body", False):
                    break
                patience.move(began_s + body_time_s(size, limits))
    except TimeoutError as error:
        raise RequestTimeout(
            f"the body did not arrive in time: it has {limits.body_timeout_s:g} s, and after {BODY_GRACE_S:g} s must "
            f"have kept to {limits.min_body_bytes_per_s} bytes a second"
        ) from error
    if gunzip is not None:
        gunzip.close()
    return b"".join(parts) if len(parts) != 1 else parts[0]


def declared_bytes(headers: Headers) -> int:
    """What `content-length` says; 0 without a readable one."""
    given = headers.get(b"content-length", b"")
    return int(given[:20]) if given.isdigit() else 0


def body_time_s(size: int, limits: InputLimits) -> float:
    """How long after its beginning a body of which `size` bytes are here may go on without another one, seconds."""
    return min(limits.body_timeout_s, BODY_GRACE_S + size / limits.min_body_bytes_per_s)


def own_deadline_s(headers: Headers) -> float | None:
    """The seconds in `x-millrace-timeout-s`, None without it. Raises `BadRequest`."""
    given = headers.get(TIMEOUT_HEADER)
    if given is None:
        return None
    if not _SECONDS.fullmatch(given) or not float(given):
        name = TIMEOUT_HEADER.decode()
        raise BadRequest(f"{name}: must be seconds, a number over 0 such as 30 or 2.5", param=name)
    return float(given)


def time_left_s(deadline_s: float, *, began_s: float, now: float) -> float:
    """What is left of the client's own deadline once its request is here; never nothing, so that it ends as late."""
    return max(deadline_s - (now - began_s), LEAST_S)


def client_retry(headers: Headers) -> int | None:
    """Which retry of its own the client says this is (`x-stainless-retry-count`); None when it says nothing."""
    given = headers.get(b"x-stainless-retry-count", b"")
    return int(given) if _RETRIES.fullmatch(given) else None


def request_id(headers: Headers, otherwise: str) -> str:
    """The client's own `x-request-id` when it is a harmless one."""
    given = headers.get(b"x-request-id")
    return own if given and _REQUEST_ID.fullmatch(own := given.decode("latin-1")) else otherwise


def relayed(headers: Headers) -> dict[str, str]:
    """The headers that go on to the upstream, where they are printable and of a sane length."""
    return {
        name.decode(): headers[name].decode()
        for name in _RELAYED_HEADERS
        if name in headers and _RELAYED_VALUE.fullmatch(headers[name])
    }
