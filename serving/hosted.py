"""A hosted OpenAI-compatible API as an `Upstream`: its base URL, its key, its `Retry-After`.

The key comes from an environment variable or a file named in the catalogue and leaves here only as a header over
verified TLS. Knows nothing of tenants, routing, or other models.
"""

from collections.abc import Callable, Collection
from email.utils import parsedate_to_datetime
from math import ceil
from urllib.parse import urlsplit

import aiohttp

from models.spec import HostedSpec, ModelSpec
from routing.picker import Replica
from serving.errors import UpstreamRefused
from serving.upstreams.hosted_http import HttpResponse, exchange
from serving.upstreams.roster import Roster
from serving.upstreams.upstream import UpstreamRequest

MAX_PAUSE_S = 3600.0
"""The longest pause that is believed, seconds: a mistaken header must not close the way for good."""


class HostedUpstream:
    """See `serving.upstreams.upstream.Upstream`.

    While the API has asked for a pause (`Retry-After` on a 429 or 503), nothing is sent to it: `UpstreamRefused` tells
    how long it lasts, and whether to wait for its end is dispatch's to decide. `clock` gives seconds since the epoch.
    """

    def __init__(
        self,
        spec: ModelSpec,
        hosted: HostedSpec,
        *,
        key: str,
        session: aiohttp.ClientSession,
        clock: Callable[[], float],
    ) -> None:
        self._name = spec.name
        self._base_url = hosted.base_url.rstrip("/")
        self._host = urlsplit(hosted.base_url).netloc
        self._headers = {"authorization": f"Bearer {key}"}
        self._timeouts = spec.timeouts
        self._session = session
        self._clock = clock
        self._not_before = 0.0
        self.roster = Roster(ejects=False)

    def live(self) -> list[Replica]:
        """The API itself, as the one replica it is."""
        return [Replica(self._host, self._base_url)]

    def spare(self, avoid: Collection[str]) -> bool:
        """See `Upstream.spare`: there is one place to send to."""
        return self._host not in avoid

    async def send_to(self, replica: Replica, request: UpstreamRequest) -> HttpResponse:
        """There is one place to send to. See `send`."""
        return await self.send(request)

    async def send(self, request: UpstreamRequest) -> HttpResponse:
        """POST to the API. Raises `UpstreamFailed`, without sending anything while a pause lasts."""
        self._check_pause()
        response = await exchange(
            self._session,
            self._base_url + request.path.removeprefix("/v1"),
            request,
            headers=self._headers,
            replica=self._host,
            timeouts=self._timeouts,
        )
        self._note_pause(response)
        return response

    def _check_pause(self) -> None:
        pause_s = self._not_before - self._clock()
        if pause_s > 0:
            message = f"{self._name} asked for a pause of {pause_s:.0f} more seconds"
            refused = UpstreamRefused(message, retry_after_s=ceil(pause_s))
            refused.replica, refused.pause_s = self._host, pause_s
            refused.sent = refused.tried = False
            raise refused

    def _note_pause(self, response: HttpResponse) -> None:
        pause_s = retry_after_s(response.headers.get("retry-after"), now=self._clock())
        if response.status in (429, 503) and pause_s is not None:
            self._not_before = max(self._not_before, self._clock() + pause_s)

    async def progressed(self, replica: Replica, then: float) -> bool:
        """See `serving.upstreams.readiness.Probed`: nobody is watched here."""
        return False

    def give_up(self, replica: str) -> None:
        """See `serving.upstreams.readiness.Probed`: a timeout and the breaker see to it."""

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
