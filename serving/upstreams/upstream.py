"""The seam to whatever generates: an engine replica, a hosted API, or the shipped fake.

Knows nothing of tenants, routing or retries. Contract (tests/contracts/test_upstream.py): `send` returns once the
status line and headers are here; every transport failure is an `UpstreamFailed`, never a foreign exception; `close`
is idempotent and cuts the connection when the body has not been read to its end, which cancels the work upstream.
The model's timeouts hold here: of a stream, `first_token_s` until its first chunk and `idle_s` of silence after it; of
a whole answer, `total_s`.
"""

from collections.abc import AsyncIterator, Collection, Mapping
from typing import Protocol

import msgspec

from serving.errors import UpstreamFailed


class UpstreamRequest(msgspec.Struct, frozen=True):
    """One HTTP call: `path` such as `/v1/chat/completions`; `body` is JSON with the upstream's own model name."""

    path: str
    body: bytes
    request_id: str
    stream: bool = False
    headers: Mapping[str, str] = msgspec.field(default_factory=dict)
    """Extra headers to relay (allow-listed by the gateway), e.g. `anthropic-version`, `traceparent`."""
    method: str = "POST"
    avoid: Collection[str] = ()
    """Ids of replicas that are not to be asked: they have failed this very request."""


class UpstreamResponse(Protocol):
    """A response whose head has arrived."""

    status: int
    headers: Mapping[str, str]
    """Names in lower case."""
    replica: str
    """Id of the replica that answers; for a hosted API its host name."""
    concurrency: int
    """Requests sharing that replica, this one included, when it was sent; at least 1."""

    def chunks(self) -> AsyncIterator[bytes]:
        """The body as it arrives. Raises `UpstreamFailed` when it is cut short or silent for too long."""
        ...

    async def read(self) -> bytes:
        """The whole body. Raises `UpstreamFailed` when it is cut short."""
        ...

    def arrived(self) -> bool:
        """Is the body here to its end, so that closing gives the connection back?"""
        ...

    async def close(self) -> None:
        """Release the connection; cut it if the body is unfinished."""
        ...

    def judged(self, failure: UpstreamFailed | None) -> None:
        """Hear whether it was an answer (None) or what was wrong with it, once, before anything is passed on."""
        ...


class Upstream(Protocol):
    """Something that answers OpenAI-shaped HTTP."""

    async def send(self, request: UpstreamRequest) -> UpstreamResponse:
        """Send and wait for the head. Raises `UpstreamFailed` (serving/errors.py)."""
        ...

    def spare(self, avoid: Collection[str]) -> bool:
        """Is there a replica in service beside those to `avoid`?"""
        ...

    async def aclose(self) -> None:
        """Release connections at shutdown."""
        ...
