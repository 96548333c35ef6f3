"""One model's replicas: who is asked, who is passed over, and that the counts of requests in flight never leak."""

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.picker import LeastOutstanding, Replica
from serving.errors import UpstreamDisconnected, UpstreamFailed, UpstreamRefused, UpstreamTimeout
from serving.upstreams.engines import PASSED_OVER_S, EngineUpstream, ReplicaResponse
from serving.upstreams.replicas import StaticReplicas
from serving.upstreams.upstream import UpstreamRequest
from tests.serving.fake_replicas import FakeReplicas
from tests.serving.world import Ticks, engine_spec

REQUEST = UpstreamRequest("/v1/x", b"{}", "req-1")


class Rig:
    """An engine upstream over replicas `a`, `b`, …; `failing` maps a replica to what its POSTs raise."""

    def __init__(self, *names: str) -> None:
        self.failing: dict[str, Exception] = {}
        self.clock = Ticks()
        self.chosen: list[tuple[str, str]] = []
        self.http = FakeReplicas(lambda url: self.failing.get(url[7]))
        self.upstream = EngineUpstream(
            engine_spec("small"),
            source=StaticReplicas([f"http://{name}" for name in names]),
            picker=LeastOutstanding(),
            http=self.http.as_http(),
            token="secret",
            clock=self.clock,
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


async def test_a_failed_replica_is_passed_over_for_a_moment() -> None:
    rig = Rig("a", "b")
    rig.failing["a"] = UpstreamRefused("nobody listens")
    for _ in range(2):
        await (await rig.send()).close()
    assert "a" in rig.upstream._failed_at
    rig.failing.clear()
    rig.http.posted.clear()
    for _ in range(4):
        await (await rig.send()).close()
    assert set(rig.http.urls) == {"http://b/v1/x"}
    rig.clock.now += PASSED_OVER_S
    rig.http.posted.clear()
    for _ in range(4):
        await (await rig.send()).close()
    assert set(rig.http.urls) == {"http://a/v1/x", "http://b/v1/x"}


async def test_when_all_have_failed_they_are_asked_again() -> None:
    rig = Rig("a")
    rig.failing["a"] = UpstreamRefused("nobody listens")
    with pytest.raises(UpstreamRefused):
        await rig.send()
    rig.failing.clear()
    assert (await rig.send()).replica == "a"


async def test_a_model_without_replicas() -> None:
    with pytest.raises(UpstreamRefused, match="model small has no live replica"):
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
    assert rig.upstream._failed_at == {}


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
