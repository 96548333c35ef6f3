"""Fetching over real TLS on the loopback: pinned, verified, bounded, and silent about what went wrong inside."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from serving.errors import MediaRefused, MediaUnavailable, MillraceError
from serving.media.address import is_public
from serving.media.carriers import Carried
from serving.media.fetch import Fetcher, system_resolver
from serving.media.inline import Media
from serving.media.limits import MediaLimits
from serving.media.location import HostList, Location
from serving.wire.request import Request
from serving.wire.routes import RELAYED
from tests.serving.asgi_call import until
from tests.serving.media.https_host import HttpsHost, answer, https_host
from tests.serving.media.pictures import PDF, data_url, jpeg, png

LIMITS = MediaLimits(bytes=10_000, pixels=10_000, urls=3, timeout_s=20.0, fetches=2)


class Names:
    """A resolver that gives one answer after another, the last one again and again."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append(host)
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


@pytest.fixture
async def host(tmp_path: Path) -> AsyncIterator[HttpsHost]:
    async with https_host(tmp_path) as running:
        running.script = answer(png())
        yield running


def loopback(address: str) -> bool:
    return address == "127.0.0.1"


def media(
    host: HttpsHost,
    *,
    names: Names | None = None,
    is_allowed: Callable[[str], bool] = loopback,
    tls: ssl.SSLContext | None = None,
    listed: str = "*.example.com",
    **limits: Any,
) -> Media:
    fetcher = Fetcher(resolver=names or Names(["127.0.0.1"]), is_allowed=is_allowed, tls=tls or host.trusting)
    return Media(replace(LIMITS, **limits), HostList.of([listed]), lambda: fetcher, ports=frozenset({host.port, 443}))


def chat(*urls: str) -> Request:
    parts = [{"type": "image_url", "image_url": {"url": url, "detail": "low"}} for url in urls]
    return request("/v1/chat/completions", {"messages": [{"role": "user", "content": parts}]})


def request(path: str, body: dict[str, Any]) -> Request:
    return Request(id="r", route=RELAYED[path], model="m", stream=False, wants_usage=False, body=body)


async def refusal(one: Media, url: str) -> MillraceError:
    with pytest.raises(MillraceError) as caught:
        await one.inlined(chat(url))
    assert caught.value.param == "messages[0].content[0].image_url.url"
    assert caught.value.message.startswith("messages[0].content[0].image_url.url: ")
    assert "127.0.0.1" not in caught.value.message
    assert caught.value.status == 400
    return caught.value


async def test_image_is_fetched_and_written_in(host: HttpsHost) -> None:
    asked = chat(host.url("/a/b.png?w=1"), data_url(jpeg()), host.url("/c"))
    got = await media(host).inlined(asked)
    parts = got.body["messages"][0]["content"]
    assert [part["image_url"]["url"] for part in parts] == [data_url(png()), data_url(jpeg()), data_url(png())]
    assert parts[0]["image_url"]["detail"] == "low"
    assert asked.body["messages"][0]["content"][0]["image_url"]["url"] == host.url("/a/b.png?w=1")
    assert sorted(head.split("\r\n")[0] for head in host.asked) == ["GET /a/b.png?w=1 HTTP/1.1", "GET /c HTTP/1.1"]
    assert host.names == [host.name, host.name]
    for head in host.asked:
        assert f"host: {host.name}:{host.port}\r\n" in head.lower()
        assert "authorization" not in head.lower()
        assert "cookie" not in head.lower()


async def test_anthropic_source(host: HttpsHost) -> None:
    part = {"type": "image", "source": {"type": "url", "url": host.url()}, "cache_control": {"type": "ephemeral"}}
    result = {"type": "tool_result", "tool_use_id": "t", "content": [part]}
    got = await media(host).inlined(request("/v1/messages", {"messages": [{"role": "user", "content": [result]}]}))
    (inner,) = got.body["messages"][0]["content"][0]["content"]
    encoded = data_url(png()).partition(",")[2]
    assert inner == part | {"source": {"type": "base64", "media_type": "image/png", "data": encoded}}


@pytest.mark.parametrize(("given", "named"), [({}, "a b.pdf"), ({"filename": "mine.pdf"}, "mine.pdf")])
async def test_file_of_the_responses_api(host: HttpsHost, given: dict[str, str], named: str) -> None:
    host.script = answer(PDF)
    part = {"type": "input_file", "file_url": host.url("/d/a%20b.pdf")} | given
    got = await media(host).inlined(request("/v1/responses", {"input": [{"role": "user", "content": [part]}]}))
    (inner,) = got.body["input"][0]["content"]
    assert inner == {"type": "input_file", "file_data": data_url(PDF, "application/pdf"), "filename": named}


async def test_nothing_to_do_gives_the_same_request(host: HttpsHost) -> None:
    asked = chat(data_url(png()))
    assert await media(host).inlined(asked) is asked


ANSWERS: dict[str, tuple[bytes, type[MillraceError], str]] = {
    "redirect": (answer(b"", "location: https://127.0.0.1/", status="302 Found"), MediaRefused, "redirect"),
    "redirect with an image": (answer(png(), "location: http://x/", status="307 T"), MediaRefused, "redirect"),
    "not found": (answer(b"no", status="404 Not Found"), MediaRefused, "status 404"),
    "part": (answer(png(), status="206 Partial"), MediaRefused, "status 206"),
    "failing": (answer(b"", status="500 Oops"), MediaUnavailable, "status 500"),
    "busy": (answer(b"", status="429 Slow"), MediaUnavailable, "status 429"),
    "html": (answer(b"<html>secret", "content-type: image/png"), MediaRefused, "is not an image"),
    "credentials": (answer(b'{"SecretAccessKey": "secret"}'), MediaRefused, "is not an image"),
    "nothing": (answer(b""), MediaRefused, "is not an image"),
    "compressed": (answer(b"\x1f\x8b", "content-encoding: gzip"), MediaRefused, "compressed"),
    "too many pixels": (answer(png(200, 200)), MediaRefused, "pixels"),
    "too many bytes": (answer(png(padding=20_000)), MediaRefused, "max_media_bytes"),
    "no http": (b"SSH-2.0-x\r\n\r\n", MediaUnavailable, "could not be reached"),
    "cut": (answer(png(padding=100))[:-50], MediaUnavailable, "could not be reached"),
    "huge header": (answer(png(), "x: " + "y" * 100_000), MediaUnavailable, "could not be reached"),
}


@pytest.mark.parametrize(("script", "kind", "says"), ANSWERS.values(), ids=ANSWERS.keys())
async def test_answer_that_is_not_taken(host: HttpsHost, script: bytes, kind: type[MillraceError], says: str) -> None:
    host.script = script
    error = await refusal(media(host), host.url())
    assert type(error) is kind
    assert says in error.message
    assert "secret" not in error.message
    assert len(host.asked) == 1


async def test_endless_answer_is_cut_at_the_limit(host: HttpsHost) -> None:
    host.script, host.endless = b"HTTP/1.1 200 OK\r\n\r\n" + png(), True
    assert "max_media_bytes" in (await refusal(media(host), host.url())).message
    await until(lambda: host.closed == 1)


async def test_bytes_are_counted_over_all_fetches(host: HttpsHost) -> None:
    host.script = answer(png(padding=6_000))
    with pytest.raises(MediaRefused, match="max_media_bytes"):
        await media(host).inlined(chat(host.url(), host.url()))


async def test_silent_host(host: HttpsHost) -> None:
    host.script, host.silent = b"", True
    error = await refusal(media(host, timeout_s=0.2), host.url())
    assert type(error) is MediaUnavailable
    assert error.retry_helps
    await until(lambda: host.closed == 1)


async def test_client_that_leaves_ends_the_fetch(host: HttpsHost) -> None:
    host.script, host.silent = b"", True
    task = asyncio.ensure_future(media(host).inlined(chat(host.url())))
    await until(lambda: host.asked)
    task.cancel()
    await until(lambda: host.closed == 1)
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_too_many_urls(host: HttpsHost) -> None:
    with pytest.raises(MediaRefused, match="over 3 URLs in one request") as caught:
        await media(host).inlined(chat(*[host.url()] * 4))
    assert caught.value.param == "messages[0].content[3].image_url.url"
    assert host.asked == []


class Counting(Fetcher):
    """Keeps how many fetches ran at once."""

    now = most = 0

    @asynccontextmanager
    async def open(self, location: Location, one: Carried) -> AsyncIterator[AsyncIterator[bytes]]:
        self.now += 1
        self.most = max(self.most, self.now)
        for _ in range(20):
            await asyncio.sleep(0)
        yield self._body()
        self.now -= 1

    async def _body(self) -> AsyncIterator[bytes]:
        yield png()


@pytest.mark.parametrize("bound", [1, 2])
async def test_fetches_at_once_are_bounded(bound: int) -> None:
    fetcher = Counting()
    one = Media(replace(LIMITS, fetches=bound), HostList.of(["a.example"]), lambda: fetcher)
    await asyncio.gather(*(one.inlined(chat("https://a.example/1", "https://a.example/2")) for _ in range(3)))
    assert fetcher.most == bound


@pytest.mark.parametrize(
    "addresses",
    [
        ["127.0.0.1"], ["0.0.0.0"], ["169.254.169.254"], ["100.64.0.1"], ["::1"], ["::"], ["::ffff:127.0.0.1"],
        ["2002:7f00:1::"], ["64:ff9b::7f00:1"], ["fec0::1"], ["fe80::1%lo"], ["1.1.1.1", "127.0.0.1"], [],
    ],
    ids=lambda addresses: ",".join(addresses) or "none",
)  # fmt: skip
async def test_listed_name_that_leads_inside(host: HttpsHost, addresses: list[str]) -> None:
    error = await refusal(media(host, names=Names(addresses), is_allowed=is_public), host.url())
    assert "not a host of the public internet" in error.message
    assert host.asked == []


async def test_rebound_name_is_resolved_once(host: HttpsHost) -> None:
    names = Names(["127.0.0.1"], ["127.0.0.2"])
    await media(host, names=names).inlined(chat(host.url()))
    assert names.asked == [host.name]
    assert len(host.asked) == 1


async def test_name_that_does_not_resolve(host: HttpsHost) -> None:
    async def nowhere(name: str, port: int) -> list[str]:
        raise OSError("no such name")

    fetcher = Fetcher(resolver=nowhere, tls=host.trusting)
    one = Media(LIMITS, HostList.of([host.name]), lambda: fetcher, ports=frozenset({host.port}))
    assert type(await refusal(one, host.url())) is MediaUnavailable


async def test_certificate_of_nobody(host: HttpsHost) -> None:
    error = await refusal(media(host, tls=ssl.create_default_context()), host.url())
    assert type(error) is MediaUnavailable
    assert host.asked == []


async def test_certificate_of_another_name(host: HttpsHost) -> None:
    error = await refusal(media(host), host.url().replace("media.", "other."))
    assert type(error) is MediaUnavailable
    assert host.asked == []


async def test_host_that_is_not_listed_is_not_even_resolved(host: HttpsHost) -> None:
    names = Names(["127.0.0.1"])
    error = await refusal(media(host, names=names, listed="other.example.com"), host.url())
    assert "setting media_hosts" in error.message
    assert names.asked == []


async def test_own_fetcher_refuses_this_machine() -> None:
    one = Media(LIMITS, HostList.of(["localhost"]))
    assert "not a host of the public internet" in (await refusal(one, "https://localhost/")).message


async def test_system_resolver_gives_addresses() -> None:
    assert set(await system_resolver("localhost", 443)) <= {"127.0.0.1", "::1"}
