"""A hosted API: where requests go, with which key, and how the pauses it asks for are kept."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.errors import UpstreamRefused
from serving.hosted import MAX_PAUSE_S, HostedUpstream, retry_after_s
from serving.upstreams.upstream import UpstreamRequest
from tests.serving.asgi_call import until
from tests.serving.fake_session import FakeClientResponse, FakeSession
from tests.serving.world import hosted_spec

NOW = 1_000_000.0
REQUEST = UpstreamRequest("/v1/chat/completions", b"{}", "req-1")


class Rig:
    """A hosted upstream that answers `answers` in turn, and a clock that only the test moves."""

    def __init__(self, *answers: FakeClientResponse) -> None:
        self.now = NOW
        pending = list(answers)
        self.session = FakeSession(lambda url: pending.pop(0))
        spec = hosted_spec()
        assert spec.hosted is not None
        self.upstream = HostedUpstream(
            spec, spec.hosted, key="sk-1", session=self.session.as_session(), clock=lambda: self.now
        )

    async def statuses(self, count: int) -> list[int]:
        statuses = []
        for _ in range(count):
            response = await self.upstream.send(REQUEST)
            statuses.append(response.status)
            await response.close()
        return statuses


def asking(pause: str | None, status: int = 429) -> FakeClientResponse:
    return FakeClientResponse(status, {} if pause is None else {"Retry-After": pause})


async def test_where_requests_go_and_with_which_key() -> None:
    rig = Rig(FakeClientResponse())
    response = await rig.upstream.send(REQUEST)
    ((url, options),) = rig.session.posted
    assert url == "http://127.0.0.1:1/v1/chat/completions"
    assert options["headers"]["authorization"] == "Bearer sk-1"
    assert (response.replica, response.concurrency) == ("127.0.0.1:1", 1)


async def test_it_is_its_own_one_replica() -> None:
    rig = Rig(FakeClientResponse(), FakeClientResponse())
    (replica,) = rig.upstream.live()
    assert replica.id == "127.0.0.1:1"
    assert (await rig.upstream.send_to(replica, REQUEST)).status == 200


async def test_it_is_all_there_is() -> None:
    rig = Rig()
    assert rig.upstream.spare(())
    assert not rig.upstream.spare({"127.0.0.1:1"})


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("pause", ["60", "Mon, 12 Jan 1970 13:47:40 GMT"], ids=["seconds", "date"])
async def test_a_pause_that_was_asked_for_is_kept(status: int, pause: str) -> None:
    rig = Rig(asking(pause, status), FakeClientResponse())
    assert await rig.statuses(1) == [status]
    rig.now += 10
    with pytest.raises(UpstreamRefused, match="cloud asked for a pause of 50 more seconds") as caught:
        await rig.upstream.send(REQUEST)
    assert (caught.value.retry_after_s, caught.value.pause_s) == (50, 50.0)
    assert (caught.value.sent, caught.value.tried, caught.value.replica) == (False, False, "127.0.0.1:1")
    assert len(rig.session.posted) == 1
    rig.now += 50
    assert await rig.statuses(1) == [200]


async def test_a_shorter_pause_does_not_end_a_longer_one() -> None:
    rig = Rig(asking("60"), asking("1"))
    rig.session.hold = asyncio.Event()
    both = [asyncio.ensure_future(rig.upstream.send(REQUEST)) for _ in range(2)]
    await until(lambda: len(rig.session.posted) == 2)
    rig.session.hold.set()
    for response in await asyncio.gather(*both):
        await response.close()
    with pytest.raises(UpstreamRefused) as caught:
        await rig.upstream.send(REQUEST)
    assert caught.value.pause_s == 60.0


@pytest.mark.parametrize(
    "answer",
    [asking(None), asking("soon"), asking("0"), asking("5", 500), asking("5", 200)],
    ids=["no header", "unreadable", "zero", "another status", "an answer"],
)
async def test_what_asks_for_no_pause(answer: FakeClientResponse) -> None:
    rig = Rig(answer, FakeClientResponse())
    assert await rig.statuses(2) == [answer.status, 200]


async def test_nobody_watches_it() -> None:
    rig = Rig()
    rig.upstream.give_up("127.0.0.1:1")
    rig.upstream.roster.passed_probe("127.0.0.1:1", 0.0)
    assert not rig.upstream.roster.needs_probe("127.0.0.1:1", 1e9)
    rig.upstream.roster.failed_probe("127.0.0.1:1", 0.0)
    assert rig.upstream.roster.in_service(rig.upstream.live())
    assert not await rig.upstream.progressed(rig.upstream.live()[0], 0.0)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("", None),
        ("x", None),
        ("\u00b2", None),
        ("-3", None),
        ("3", 3.0),
        (" 3 ", 3.0),
        ("9" * 400, MAX_PAUSE_S),
        ("Mon, 12 Jan 1970 13:46:50 GMT", 10.0),
        ("Mon, 12 Jan 1970 13:00:00 GMT", 0.0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", MAX_PAUSE_S),
    ],
)
def test_retry_after(value: str | None, seconds: float | None) -> None:
    assert retry_after_s(value, now=NOW) == seconds


@given(st.text() | st.from_regex(r"[A-Z][a-z]{2}, \d+ [A-Z][a-z]{2} \d{1,6} \d+:\d+:\d+ (GMT|[-+]\d{4})"))
def test_no_header_breaks_it(value: str) -> None:
    seconds = retry_after_s(value, now=NOW)
    assert seconds is None or 0.0 <= seconds <= MAX_PAUSE_S
