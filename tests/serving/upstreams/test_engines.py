"""One model's replicas: who is asked, who is passed over, and that the counts of requests in flight never leak."""

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from routing.picker import LeastOutstanding, Replica
from serving.errors import UpstreamDisconnected, UpstreamFailed, UpstreamInvalid, UpstreamRefused, UpstreamTimeout
from serving.upstreams.engines import EngineUpstream, ReplicaResponse
from serving.upstreams.replicas import StaticReplicas
from serving.upstreams.roster import STRIKES, Roster
from serving.upstreams.upstream import UpstreamRequest
from tests.serving.fake_replicas import FakeReplicas
from tests.serving.world import Ticks, engine_spec

REQUEST = UpstreamRequest("/v1/x", b"{}", "req-1")
A = Replica("a", "http://a")


def unsent() -> UpstreamRefused:
    """Nobody listens."""
    refused = UpstreamRefused("nobody listens")
    refused.sent = False
    return refused


def with_status(status: int) -> UpstreamRefused:
    refused = UpstreamRefused(f"answered {status}")
    refused.upstream_status = status
    return refused


class Rig:
    """An engine upstream over replicas `a`, `b`, …; `failing` maps a replica to what its POSTs raise."""

    def __init__(self, *names: str) -> None:
        self.failing: dict[str, Exception] = {}
        self.clock = Ticks()
        self.chosen: list[tuple[str, str]] = []
        self.changes: list[str] = []
        self.http = FakeReplicas(lambda url: self.failing.get(url[7]))
        self.upstream = EngineUpstream(
            engine_spec("small"),
            source=StaticReplicas([f"http://{name}" for name in names]),
            picker=LeastOutstanding(),
            http=self.http.as_http(),
            token="secret",
            clock=self.clock,
            roster=Roster(changed=self.changes.append),
            chosen=lambda model, replica: self.chosen.append((model, replica)),
        )

    async def send(self) -> ReplicaResponse:
        return await self.upstream.send(REQUEST)

    @property
    def outstanding(self) -> dict[str, int]:
        return dict(self.upstream._outstanding)


async def test_the_internal_token_is_sent_to_the_replica_itself() -> None:
    rig = Rig("a")
    response = await rig.send()
    assert rig.http.urls == ["http://a/v1/x"]
    assert rig.http.posted[0][1]["authorization"] == "Bearer secret"
    assert (response.replica, response.concurrency) == ("a", 1)
    assert rig.chosen == [("small", "a")]


async def test_the_replica_with_the_least_in_flight_is_asked() -> None:
    rig = Rig("a", "b", "c")
    responses = [await rig.send() for _ in range(5)]
    assert sorted(rig.outstanding.values()) == [1, 2, 2]
    assert sorted(response.concurrency for response in responses) == [1, 1, 1, 2, 2]
    idle = responses[0].replica
    for response in responses:
        if response.replica == idle:
            await response.close()
    assert (await rig.send()).replica == idle


async def test_a_replica_that_refuses_is_replaced_by_the_next() -> None:
    rig = Rig("a", "b")
    rig.failing["a"] = rig.failing["b"] = UpstreamRefused("nobody listens")
    with pytest.raises(UpstreamRefused):
        await rig.send()
    assert sorted(rig.http.urls) == ["http://a/v1/x", "http://b/v1/x"]
    del rig.failing["b"]
    assert (await rig.send()).replica == "b"


async def test_a_replica_that_broke_after_taking_the_request_is_not_replaced() -> None:
    rig = Rig("a", "b")
    rig.failing["a"] = rig.failing["b"] = UpstreamDisconnected("cut")
    with pytest.raises(UpstreamDisconnected):
        await rig.send()
    assert len(rig.http.urls) == 1


async def test_a_replica_nobody_listens_at_is_out_until_it_has_proven_itself() -> None:
    rig = Rig("a", "b")
    rig.failing["a"] = unsent()
    for _ in range(2):
        await (await rig.send()).close()
    assert rig.changes == ["ejected"]
    rig.failing.clear()
    rig.http.posted.clear()
    rig.clock.now += 3600
    for _ in range(4):
        await (await rig.send()).close()
    assert set(rig.http.urls) == {"http://b/v1/x"}
    rig.upstream.roster.passed_probe("a", rig.clock())
    for _ in range(4):
        await (await rig.send()).close()
    assert set(rig.http.urls) == {"http://a/v1/x", "http://b/v1/x"}


async def test_the_last_one_is_asked_whatever_it_did() -> None:
    rig = Rig("a")
    rig.failing["a"] = unsent()
    for _ in range(STRIKES + 1):
        with pytest.raises(UpstreamRefused):
            await rig.send()
    rig.failing.clear()
    assert (await rig.send()).replica == "a"


@pytest.mark.parametrize(
    ("failure", "out"),
    [
        (UpstreamDisconnected("cut"), True),
        (UpstreamTimeout("silent"), True),
        (UpstreamInvalid("garbage"), True),
        (with_status(500), True),
        (with_status(429), False),
        (with_status(404), False),
    ],
    ids=["disconnected", "silent", "garbage", "500", "429", "404"],
)
async def test_what_counts_against_a_replica(failure: UpstreamFailed, out: bool) -> None:
    rig = Rig("a", "b")
    responses = [await rig.upstream.send_to(A, REQUEST) for _ in range(STRIKES)]
    for response in responses:
        assert rig.changes == []
        response.judged(failure)
        await response.close()
    assert bool(rig.changes) is out
    assert rig.upstream.spare({"b"}) is not out


@pytest.mark.parametrize(("failure", "lost"), [(UpstreamDisconnected, True), (UpstreamTimeout, False)])
async def test_what_a_replica_takes_with_it_is_lost(failure: type[UpstreamFailed], lost: bool) -> None:
    """Not what it failed before anybody could know, and not what was merely too slow."""
    rig = Rig("a", "b")
    failures = [failure("no") for _ in range(STRIKES + 2)]
    responses = [await rig.upstream.send_to(A, REQUEST) for _ in failures]
    for response, one in zip(responses, failures, strict=True):
        response.judged(one)
        await response.close()
    assert [one.lost for one in failures] == [False] * (STRIKES - 1) + [lost] * 3


async def test_a_good_answer_ends_the_row() -> None:
    rig = Rig("a", "b")
    for verdict in [UpstreamTimeout("silent"), UpstreamTimeout("silent"), None, UpstreamTimeout("silent")]:
        response = await rig.upstream.send_to(A, REQUEST)
        response.judged(verdict)
        await response.close()
    assert rig.changes == []


async def test_what_breaks_after_it_was_judged_good_counts_once() -> None:
    rig = Rig("a", "b")
    for _ in range(STRIKES):
        response = await rig.upstream.send_to(A, REQUEST)
        rig.http.exchanges[-1].failure = UpstreamDisconnected("cut")
        await response.close()
        await response.close()
    assert rig.changes == ["ejected"]


async def test_what_was_judged_bad_does_not_count_again_when_it_is_closed() -> None:
    rig = Rig("a", "b")
    cut = UpstreamDisconnected("cut")
    for _ in range(STRIKES - 1):
        response = await rig.upstream.send_to(A, REQUEST)
        rig.http.exchanges[-1].failure = cut
        response.judged(cut)
        await response.close()
    assert rig.changes == []


async def test_those_to_avoid_are_not_asked() -> None:
    rig = Rig("a", "b")
    for _ in range(4):
        response = await rig.upstream.send(replace(REQUEST, avoid={"a"}))
        assert response.replica == "b"
    assert rig.upstream.spare({"a"})
    assert not rig.upstream.spare({"a", "b"})


async def test_when_all_are_out_nothing_is_sent() -> None:
    rig = Rig("a", "b")
    for name in ("a", "b"):
        rig.upstream.roster.failed_probe(name, rig.clock())
    with pytest.raises(UpstreamRefused, match="model small has no replica in service") as caught:
        await rig.send()
    assert (caught.value.sent, caught.value.tried) == (False, False)
    assert rig.http.urls == []


async def test_a_failure_names_its_replica() -> None:
    rig = Rig("a")
    rig.failing["a"] = UpstreamTimeout("silent")
    with pytest.raises(UpstreamTimeout) as caught:
        await rig.send()
    assert caught.value.replica == "a"


@pytest.mark.parametrize(("quiet_s", "progressed"), [(None, False), (1.0, True), (9.0, False)])
async def test_progress_is_a_byte_since_then(quiet_s: float | None, progressed: bool) -> None:
    rig = Rig("a")
    then = rig.clock()
    rig.clock.now += 5.0
    rig.http.quiet = quiet_s
    assert await rig.upstream.progressed(A, then) is progressed


async def test_progress_is_an_answer_since_then() -> None:
    rig = Rig("a")
    response = await rig.send()
    then = rig.clock()
    rig.clock.now += 1.0
    assert not await rig.upstream.progressed(A, then)
    response.judged(None)
    rig.clock.now += 1.0
    assert await rig.upstream.progressed(A, then)


@pytest.mark.parametrize(
    ("state", "progressed"),
    [
        (b'{"last_step_age_s":1.5}', True),
        (b'{"last_step_age_s":0}', True),
        (b'{"last_step_age_s":9.5}', False),
        (b'{"last_step_age_s":null}', False),
        (b"[]", False),
        (b"<html>", False),
    ],
    ids=["a step since", "just now", "none since", "none at all", "a list", "garbage"],
)
async def test_progress_is_a_step_of_the_engine(state: bytes, progressed: bool) -> None:
    rig = Rig("a")
    then = rig.clock()
    rig.clock.now += 5.0
    rig.http.content = state
    assert await rig.upstream.progressed(A, then) is progressed
    assert rig.http.urls == ["http://a/engine/state"]
    assert [exchange.closed for exchange in rig.http.exchanges] == [1]


async def test_an_engine_that_does_not_even_say_its_state_has_made_no_progress() -> None:
    rig = Rig("a")
    rig.failing["a"] = UpstreamTimeout("silent")
    assert not await rig.upstream.progressed(A, rig.clock())
    assert rig.changes == []


async def test_who_waits_for_a_hung_replica_is_told() -> None:
    rig = Rig("a")
    rig.upstream.give_up("a")
    assert rig.http.given_up == ["a"]


async def test_a_model_without_replicas() -> None:
    with pytest.raises(UpstreamRefused, match="model small has no replica in service"):
        await Rig().send()


async def test_a_probe_goes_to_the_replica_it_names() -> None:
    rig = Rig("a", "b")
    for _ in range(3):
        await (await rig.upstream.send_to(Replica("b", "http://b"), REQUEST)).close()
    assert rig.http.urls == ["http://b/v1/x"] * 3


async def test_a_cancelled_request_gives_its_place_back() -> None:
    rig = Rig("a")
    rig.http.hold = asyncio.Event()
    task = asyncio.ensure_future(rig.send())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert rig.outstanding == {"a": 1}
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert rig.outstanding == {}
    assert rig.changes == []


OUTCOMES = {
    "answered": None,
    "refused": UpstreamRefused("nobody listens"),
    "disconnected": UpstreamDisconnected("cut"),
    "silent": UpstreamTimeout("silent"),
    "odd": ValueError("not ours"),
}


@given(st.lists(st.tuples(st.sampled_from(sorted(OUTCOMES)), st.booleans(), st.integers(1, 2)), max_size=20))
def test_counts_never_leak(steps: Sequence[tuple[str, bool, int]]) -> None:
    """Each step sends one request with an outcome, cancels it or not, and closes its response once or twice."""

    async def scenario() -> None:
        rig = Rig("a", "b")
        open_responses: list[tuple[ReplicaResponse, int]] = []
        for outcome, cancelled, closes in steps:
            error = OUTCOMES[outcome]
            rig.failing = {} if error is None else {"a": error, "b": error}
            task = asyncio.ensure_future(rig.send())
            if cancelled:
                await asyncio.sleep(0)
                task.cancel()
            (result,) = await asyncio.gather(task, return_exceptions=True)
            if isinstance(result, ReplicaResponse):
                open_responses.append((result, closes))
            else:
                assert isinstance(result, UpstreamFailed | asyncio.CancelledError | ValueError)
            assert sum(rig.outstanding.values()) == len(open_responses)
        for response, closes in open_responses:
            for _ in range(closes):
                await response.close()
        assert rig.outstanding == {}

    asyncio.run(scenario())
