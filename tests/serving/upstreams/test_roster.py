"""Who is in service: what ejects a replica, what never does, and that only a token brings it back."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.picker import Replica
from serving.upstreams.roster import HABIT_S, STRIKES, Roster

A, B, C = (Replica(name, f"http://{name}") for name in "abc")


def ids(replicas: Sequence[Replica]) -> list[str]:
    return [replica.id for replica in replicas]


def test_everybody_is_in_service_until_proven_wrong_but_nobody_is_proven() -> None:
    roster = Roster()
    assert ids(roster.in_service([A, B])) == ["a", "b"]
    assert ids(roster.in_service([A, B], {"a"})) == ["b"]
    assert not roster.is_proven("a")
    assert roster.needs_probe("a", 0.0)


@pytest.mark.parametrize(("reached", "failures"), [(False, 1), (True, STRIKES)], ids=["nobody there", "failed"])
def test_failures_eject(reached: bool, failures: int) -> None:
    changes: list[str] = []
    roster = Roster(changed=changes.append)
    for _ in range(failures):
        assert changes == []
        roster.failed("a", [A, B], 0.0, reached=reached)
    roster.failed("a", [A, B], 0.0, reached=reached)
    assert changes == ["ejected"]
    assert ids(roster.in_service([A, B])) == ["b"]


def test_a_good_answer_between_failures_starts_the_count_anew() -> None:
    roster = Roster()
    for _ in range(STRIKES * 2):
        roster.failed("a", [A, B], 0.0, reached=True)
        roster.answered("a", 0.0)
    assert ids(roster.in_service([A, B])) == ["a", "b"]


def test_the_last_one_is_ejected_by_a_probe_only() -> None:
    roster = Roster()
    for one in (A, B):
        for _ in range(STRIKES + 1):
            roster.failed(one.id, [A, B], 0.0, reached=False)
    assert ids(roster.in_service([A, B])) == ["b"]
    roster.failed_probe("b", 0.0)
    assert roster.in_service([A, B]) == []


@pytest.mark.parametrize("by", ["nobody there", "failed", "probe"])
def test_who_leaves_is_lost_until_it_is_back(by: str) -> None:
    roster = Roster()
    assert not roster.is_lost("a", [A, B])
    if by == "probe":
        roster.failed_probe("a", 0.0)
    else:
        for _ in range(STRIKES):
            roster.failed("a", [A, B], 0.0, reached=by == "failed")
    assert roster.is_lost("a", [A, B])
    assert not roster.is_lost("b", [A, B])
    roster.passed_probe("a", 1.0)
    assert not roster.is_lost("a", [A, B])


def test_who_comes_and_goes_is_not_lost() -> None:
    roster = Roster()
    for left_s, lost in [(0.0, True), (HABIT_S - 1, False), (HABIT_S + 1, False), (2 * HABIT_S + 1, True)]:
        roster.failed_probe("a", left_s)
        assert roster.is_lost("a", [A, B]) is lost
        roster.passed_probe("a", left_s)


def test_who_is_not_listed_any_more_is_lost() -> None:
    assert Roster().is_lost("c", [A, B])


def test_a_token_is_the_way_back() -> None:
    changes: list[str] = []
    roster = Roster(changed=changes.append)
    roster.passed_probe("a", 0.0)
    assert roster.is_proven("a")
    roster.failed_probe("a", 0.0)
    roster.answered("a", 1.0)
    assert not roster.is_proven("a")
    assert ids(roster.in_service([A, B])) == ["b"]
    roster.passed_probe("a", 2.0)
    assert roster.is_proven("a")
    assert changes == ["ejected", "readmitted"]


def test_a_failure_makes_a_suspect_and_a_token_clears_it() -> None:
    roster = Roster()
    roster.passed_probe("a", 0.0)
    assert not roster.needs_probe("a", 1e9)
    roster.failed("a", [A], 0.0, reached=True)
    assert roster.needs_probe("a", 0.0)
    assert roster.is_proven("a")
    roster.passed_probe("a", 0.0)
    assert not roster.needs_probe("a", 1e9)


def test_who_has_been_quiet_for_long_is_asked_again() -> None:
    roster = Roster(canary_interval_s=5.0)
    roster.passed_probe("a", 10.0)
    assert not roster.needs_probe("a", 14.9)
    roster.answered("a", 14.0)
    assert not roster.needs_probe("a", 18.9)
    assert roster.needs_probe("a", 19.0)


def test_an_answer_is_remembered() -> None:
    roster = Roster()
    assert not roster.answered_since("a", 0.0)
    roster.answered("a", 5.0)
    assert roster.answered_since("a", 4.0)
    assert not roster.answered_since("a", 5.0)


def test_what_is_never_taken_out_can_still_lose_its_proof() -> None:
    roster = Roster(ejects=False)
    roster.passed_probe("a", 0.0)
    roster.failed_probe("a", 0.0)
    assert not roster.is_proven("a")
    assert ids(roster.in_service([A])) == ["a"]


def test_who_is_gone_is_forgotten() -> None:
    roster = Roster()
    roster.passed_probe("a", 0.0)
    roster.failed("a", [A, B], 0.0, reached=True)
    roster.failed_probe("b", 0.0)
    roster.keep([C])
    assert not roster.is_proven("a")
    assert not roster.answered_since("a", -0.5)
    assert ids(roster.in_service([A, B])) == ["a", "b"]
    roster.passed_probe("c", 0.0)
    roster.keep([C])
    assert roster.is_proven("c")


EVENTS = st.tuples(st.sampled_from(["failed", "unreached", "answered", "passed"]), st.sampled_from("abc"))


@given(st.lists(EVENTS, max_size=60))
def test_without_probes_that_fail_somebody_is_always_in_service(events: Sequence[tuple[str, str]]) -> None:
    roster = Roster()
    for event, who in events:
        if event == "answered":
            roster.answered(who, 0.0)
        elif event == "passed":
            roster.passed_probe(who, 0.0)
        else:
            roster.failed(who, [A, B, C], 0.0, reached=event == "failed")
        assert roster.in_service([A, B, C])
