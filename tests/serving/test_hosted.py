"""A hosted API: where requests go, with which key, and how the pauses it asks for are kept."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.errors import UpstreamRefused
from serving.hosted import MAX_PAUSE_S, PATIENCE_S, HostedUpstream, retry_after_s
from serving.upstreams.upstream import UpstreamRequest
from tests.serving.fake_session import FakeClientResponse, FakeSession
from tests.serving.world import hosted_spec

NOW = 1_000_000.0
REQUEST = UpstreamRequest("/v1/chat/completions", b"{}", "req-1")


class Rig:
    """A hosted upstream that answers `answers` in turn, and a clock that moves only when it sleeps."""

    def __init__(self, *answers: FakeClientResponse) -> None:
        self.now = NOW
        self.slept: list[float] = []
        pending = list(answers)
        self.session = FakeSession(lambda url: pending.pop(0))
        spec = hosted_spec()
        assert spec.hosted is not None
        self.upstream = HostedUpstream(
            spec,
            spec.hosted,
            key="sk-1",
            session=self.session.as_session(),
            clock=lambda: self.now,
            sleep=self._sleep,
        )

    async def _sleep(self, seconds: float) -> None:
        assert all(response.closed for response in self.session.responses), "nothing is held open while waiting"
        self.slept.append(seconds)
        self.now += seconds

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


@pytest.mark.parametrize("status", [429, 503])
async def test_a_short_pause_is_waited_for_and_the_request_sent_again(status: int) -> None:
    rig = Rig(asking("2", status), FakeClientResponse())
    assert await rig.statuses(1) == [200]
    assert rig.slept == [2.0]


async def test_a_pause_given_as_a_date_is_kept_too() -> None:
    rig = Rig(asking("Mon, 12 Jan 1970 13:46:41 GMT"), FakeClientResponse())
    assert await rig.statuses(1) == [200]
    assert rig.slept == [1.0]


async def test_only_one_more_try_is_made() -> None:
    rig = Rig(asking("1"), asking("1"), FakeClientResponse())
    assert await rig.statuses(1) == [429]
    assert rig.slept == [1.0]
    assert await rig.statuses(1) == [200]
    assert rig.slept == [1.0, 1.0]


async def test_a_long_pause_is_handed_back_and_then_refused_without_a_call() -> None:
    rig = Rig(asking("60"), FakeClientResponse())
    assert await rig.statuses(1) == [429]
    rig.now += 10
    with pytest.raises(UpstreamRefused, match="cloud asked for a pause of 50 more seconds") as caught:
        await rig.upstream.send(REQUEST)
    assert caught.value.retry_after_s == 50
    assert len(rig.session.posted) == 1
    rig.now += 50 - PATIENCE_S
    assert await rig.statuses(1) == [200]
    assert rig.slept == [PATIENCE_S]


@pytest.mark.parametrize(
    "answer",
    [asking(None), asking("soon"), asking("5", 500), asking("5", 200)],
    ids=["no header", "unreadable", "another status", "an answer"],
)
async def test_what_asks_for_no_pause(answer: FakeClientResponse) -> None:
    rig = Rig(answer, FakeClientResponse())
    assert await rig.statuses(2) == [answer.status, 200]
    assert rig.slept == []


async def test_a_pause_of_zero_means_now() -> None:
    rig = Rig(asking("0"), FakeClientResponse())
    assert await rig.statuses(1) == [200]
    assert rig.slept == []


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
