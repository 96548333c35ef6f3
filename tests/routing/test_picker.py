"""Replica choice: the least loaded, ties in turn."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from routing.picker import LeastOutstanding, Replica

LOADS = st.lists(st.integers(0, 5), min_size=1, max_size=6)


def replicas_of(count: int) -> list[Replica]:
    return [Replica(f"r{place}", f"http://10.0.0.{place}:8000") for place in range(count)]


def test_a_replica_without_a_count_is_idle() -> None:
    first, second = replicas_of(2)
    assert LeastOutstanding().pick([first, second], {first.id: 1}) == second


def test_ties_rotate() -> None:
    replicas, picker = replicas_of(3), LeastOutstanding()
    picked = [picker.pick(replicas, {}) for _ in range(6)]
    assert set(picked[:3]) == set(replicas)
    assert picked[:3] == picked[3:]


@given(LOADS, st.integers(1, 20))
def test_never_picks_a_replica_busier_than_the_idlest(loads: list[int], turns: int) -> None:
    replicas, picker = replicas_of(len(loads)), LeastOutstanding()
    outstanding = {replica.id: load for replica, load in zip(replicas, loads, strict=True)}
    for _ in range(turns):
        assert outstanding[picker.pick(replicas, outstanding).id] == min(loads)


@given(st.integers(1, 6), st.integers(1, 60), st.booleans())
def test_equal_replicas_share_a_run_evenly(count: int, requests: int, finish: bool) -> None:
    """Whether requests finish at once or not at all."""
    replicas, picker = replicas_of(count), LeastOutstanding()
    outstanding: Counter[str] = Counter()
    picked: Counter[str] = Counter({replica.id: 0 for replica in replicas})
    for _ in range(requests):
        chosen = picker.pick(replicas, {} if finish else outstanding).id
        outstanding[chosen] += 1
        picked[chosen] += 1
    assert max(picked.values()) - min(picked.values()) <= 1
