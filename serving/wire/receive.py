"""The first step: who is asking, and the bounded body they sent. Knows HTTP headers and ASGI's receive, no models."""

import asyncio
import os
import re
from collections.abc import Callable, Mapping

from starlette.types import Message, Receive

from serving.errors import BadRequest, BodyTooLarge, RequestTimeout, Unauthenticated
from serving.keys import Tenant

Headers = Mapping[bytes, bytes]
"""As in an ASGI scope: names in lower case, the last of equal names."""

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


async def read_body(receive: Receive, headers: Headers, *, limit: int, timeout_s: float) -> bytes:
    """The whole body. Raises `BodyTooLarge` as soon as it is known to be, `RequestTimeout`, `BadRequest`, `ClientGone`.

    `limit`: bytes; `timeout_s`: for the whole body together.
    """
    if headers.get(b"content-encoding", b"identity") != b"identity":
        raise BadRequest("content-encoding: not supported; send the body uncompressed")
    declared = headers.get(b"content-length", b"0")
    too_large = BodyTooLarge(f"the body is over the limit of {limit} bytes (setting max_body_bytes)")
    if declared.isdigit() and int(declared[:20]) > limit:
        raise too_large
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(timeout_s):
            while True:
                message: Message = await receive()
                if message["type"] == "http.disconnect":
                    raise ClientGone
                parts.append(message.get("body", b""))
                size += len(parts[-1])
                if size > limit:
                    raise too_large
                if not message.get("more_body", False):
                    return b"".join(parts) if len(parts) > 1 else parts[0]
    except TimeoutError as error:
        raise RequestTimeout(f"the body did not arrive within {timeout_s:g} s") from error


def request_id(headers: Headers) -> str:
    """The client's own `x-request-id` when it is a harmless one, else a new one."""
    given = headers.get(b"x-request-id", b"").decode("latin-1")
    return given if _REQUEST_ID.fullmatch(given) else f"req-{os.urandom(12).hex()}"


def relayed(headers: Headers) -> dict[str, str]:
    """The headers that go on to the upstream, where they are printable and of a sane length."""
    return {
        name.decode(): headers[name].decode()
        for name in _RELAYED_HEADERS
        if name in headers and _RELAYED_VALUE.fullmatch(headers[name])
    }
