"""A hosted OpenAI-compatible API as an `Upstream`: its base URL, its key, its `Retry-After`.

The key comes from an environment variable or a file named in the catalogue and leaves here only as a header over
verified TLS. Knows nothing of tenants, routing, or other models.
"""

import asyncio
from collections.abc import Awaitable, Callable
from email.utils import parsedate_to_datetime
from math import ceil
from urllib.parse import urlsplit

import aiohttp

from models.spec import HostedSpec, ModelSpec
from routing.picker import Replica
from serving.errors import UpstreamRefused
from serving.upstreams.hosted_http import HttpResponse, SocketTimeouts, exchange
from serving.upstreams.upstream import UpstreamRequest

PATIENCE_S = 2.0
"""The longest `Retry-After` worth waiting for inside one request, seconds; a longer one fails over at once."""

MAX_PAUSE_S = 3600.0
"""The longest pause that is believed, seconds: a mistaken header must not close the way for good."""


class HostedUpstream:
    """See `serving.upstreams.upstream.Upstream`.

    While the API has asked for a pause (`Retry-After` on a 429 or 503), nothing is sent to it: a short pause is waited
    for, a longer one is `UpstreamRefused`. `clock` gives seconds since the epoch; `sleep` takes seconds.
    """

    def __init__(
        self,
        spec: ModelSpec,
        hosted: HostedSpec,
        *,
        key: str,
        session: aiohttp.ClientSession,
        clock: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._name = spec.name
        self._base_url = hosted.base_url.rstrip("/")
        self._host = urlsplit(hosted.base_url).netloc
        self._headers = {"authorization": f"Bearer {key}"}
        self._timeouts = SocketTimeouts.of(spec.timeouts)
        self._session = session
        self._clock = clock
        self._sleep = sleep
        self._not_before = 0.0

    def live(self) -> list[Replica]:
        """The API itself, as the one replica it is."""
        return [Replica(self._host, self._base_url)]

    async def send_to(self, replica: Replica, request: UpstreamRequest) -> HttpResponse:
        """There is one place to send to. See `send`."""
        return await self.send(request)

    async def send(self, request: UpstreamRequest) -> HttpResponse:
        """POST to the API, after the pause it asked for if that is short. Raises `UpstreamFailed`."""
        await self._observe_pause()
        response = await self._exchange(request)
        if not self._asks_for_pause(response) or self._not_before - self._clock() > PATIENCE_S:
            return response
        await response.close()
        await self._observe_pause()
        response = await self._exchange(request)
        self._asks_for_pause(response)
        return response

    async def _observe_pause(self) -> None:
        pause_s = self._not_before - self._clock()
        if pause_s > PATIENCE_S:
            message = f"{self._name} asked for a pause of {pause_s:.0f} more seconds"
            raise UpstreamRefused(message, retry_after_s=ceil(pause_s))
        if pause_s > 0:
            await self._sleep(pause_s)

    async def _exchange(self, request: UpstreamRequest) -> HttpResponse:
        response = await exchange(
            self._session,
            self._base_url + request.path.removeprefix("/v1"),
            request,
            headers=self._headers,
            replica=self._host,
            timeouts=self._timeouts,
        )
        return HttpResponse(response, replica=self._host)

    def _asks_for_pause(self, response: HttpResponse) -> bool:
        pause_s = retry_after_s(response.headers.get("retry-after"), now=self._clock())
        if response.status not in (429, 503) or pause_s is None:
            return False
        self._not_before = self._clock() + pause_s
        return True

    async def aclose(self) -> None:
        """Nothing of its own: the session belongs to the composition root."""


def retry_after_s(value: str | None, *, now: float) -> float | None:
    """Seconds a `Retry-After` asks for (RFC 9110: seconds or an HTTP date), None when absent or unreadable.

    Never more than `MAX_PAUSE_S`.
    """
    if value is None:
        return None
    if value.isascii() and value.strip().isdigit():
        return min(float(value), MAX_PAUSE_S)
    try:
        return min(max(0.0, parsedate_to_datetime(value).timestamp() - now), MAX_PAUSE_S)
    except (ValueError, OverflowError):
        return None
