"""Makes a request's media safe to hand on: inline media checked, URLs of listed hosts fetched and written into it.

What leaves here carries `data:` only, to engines and hosted APIs alike. Fetching is bounded in number, bytes, time and
concurrency. Raises `MediaRefused` naming the field and the fix, `MediaUnavailable` when a host fails.
"""

import asyncio
import base64
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import unquote

from msgspec.structs import replace

from serving.errors import MediaUnavailable
from serving.media.carriers import Carried, Form, carried, may_carry
from serving.media.content import check_content, check_inline, refused
from serving.media.fetch import Fetcher
from serving.media.limits import Allowance, MediaLimits
from serving.media.location import HTTPS_PORT, BadLocation, HostList, Location, read_location
from serving.wire.request import Request


@dataclass(frozen=True, slots=True)
class _Fetched:
    media_type: str
    content: bytes

    @property
    def base64(self) -> str:
        return base64.b64encode(self.content).decode()

    @property
    def data_url(self) -> str:
        return f"data:{self.media_type};base64,{self.base64}"


class Media:
    """What the gateway does with media. `open_fetcher` is called at the first fetch, if there ever is one."""

    def __init__(
        self,
        limits: MediaLimits,
        hosts: HostList,
        open_fetcher: Callable[[], Fetcher] = Fetcher,
        *,
        ports: frozenset[int] = frozenset({HTTPS_PORT}),
    ) -> None:
        self._limits = limits
        self._hosts = hosts
        self._ports = ports
        self._open_fetcher = open_fetcher
        self._fetcher: Fetcher | None = None
        self._slots = asyncio.Semaphore(limits.fetches)

    def concerns(self, raw: bytes) -> bool:
        """Whether a body can carry media at all; cheap."""
        return may_carry(raw)

    async def inlined(self, request: Request) -> Request:
        """The request with all its media checked, and what was named by URL in it."""
        allowance = Allowance(self._limits.bytes)
        wanted: list[tuple[Carried, Location]] = []
        for one in carried(request.body):
            if one.form is Form.BASE64 or one.text[:5].lower() == "data:":
                check_inline(one, self._limits, allowance)
            else:
                wanted.append((one, self._location(one)))
        if not wanted:
            return request
        if len(wanted) > self._limits.urls:
            raise refused(wanted[-1][0], f"over {self._limits.urls} URLs in one request (setting max_media_urls)")
        timeout_s = min(self._limits.timeout_s, request.timeout_s or self._limits.timeout_s)
        fetched = await self._fetch_all(wanted, allowance, timeout_s)
        return replace(request, body=_written_back(request.body, wanted, fetched))

    def _location(self, one: Carried) -> Location:
        try:
            location = read_location(one.text, ports=self._ports)
        except BadLocation as error:
            raise refused(one, f"{error}; or send the content itself as a 'data:' URL") from error
        if location.host not in self._hosts:
            raise refused(
                one, "URLs of this host are not fetched (setting media_hosts); send the content as a 'data:' URL"
            )
        return location

    async def _fetch_all(
        self, wanted: Sequence[tuple[Carried, Location]], allowance: Allowance, timeout_s: float
    ) -> list[_Fetched]:
        tasks = []
        try:
            async with asyncio.timeout(timeout_s), asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._fetch(one, location, allowance)) for one, location in wanted]
        except TimeoutError as error:
            first = next((one for (one, _), task in zip(wanted, tasks, strict=True) if task.cancelled()), wanted[0][0])
            late = f"{first.param}: the host did not answer within {timeout_s:g} s"
            raise MediaUnavailable(late, param=first.param) from error
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from failures
        return [task.result() for task in tasks]

    async def _fetch(self, one: Carried, location: Location, allowance: Allowance) -> _Fetched:
        if self._fetcher is None:
            self._fetcher = self._open_fetcher()
        parts = []
        async with self._slots, self._fetcher.open(location, one) as chunks:
            async for chunk in chunks:
                allowance.take(len(chunk), one)
                parts.append(chunk)
        content = b"".join(parts)
        return _Fetched(check_content(one, content, lambda: content, self._limits), content)


def _written_back(
    body: Mapping[str, Any], wanted: Sequence[tuple[Carried, Location]], fetched: Sequence[_Fetched]
) -> Mapping[str, Any]:
    copy: Any = deepcopy(body)
    for (one, location), got in zip(wanted, fetched, strict=True):
        holder = copy
        for step in one.holder:
            holder = holder[step]
        _write(holder, one, location, got)
    return copy  # type: ignore[no-any-return]


def _write(holder: dict[str, Any], one: Carried, location: Location, got: _Fetched) -> None:
    if one.form is Form.SOURCE:
        del holder["url"]
        holder.update(type="base64", media_type=got.media_type, data=got.base64)
    elif one.form is Form.FILE_URL:
        del holder["file_url"]
        holder["file_data"] = got.data_url
        holder.setdefault("filename", PurePosixPath(unquote(location.path)).name or "file")
    else:
        holder[str(one.place[-1])] = got.data_url
