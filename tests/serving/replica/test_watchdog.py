"""The progress rule, step by step in its own time."""

import pytest

from serving.replica.watchdog import Watchdog


def watch(*looks: tuple[float, int, int], stall_after_s: float = 10, first_step_grace_s: float = 100) -> list[bool]:
    """Is the engine called hung at each (now, unfinished, steps)?"""
    watchdog = Watchdog(stall_after_s=stall_after_s, first_step_grace_s=first_step_grace_s)
    return [watchdog.observe(now=now, unfinished=n, steps=steps) is not None for now, n, steps in looks]


def test_an_idle_engine_is_never_hung() -> None:
    assert watch((0, 0, 5), (1e6, 0, 5), (2e6, 0, 5)) == [False, False, False]


def test_the_first_request_after_a_long_idle_time_has_its_full_time() -> None:
    assert watch((0, 0, 5), (1000, 0, 5), (1001, 1, 5), (1009, 1, 5), (1011, 1, 5)) == [False] * 4 + [True]


def test_every_step_starts_the_time_again() -> None:
    assert watch((0, 1, 5), (9, 1, 6), (18, 1, 7), (28, 1, 7), (28.1, 1, 7)) == [False] * 4 + [True]


def test_the_first_step_may_take_longer() -> None:
    assert watch((0, 1, 0), (99, 1, 0), (101, 1, 0)) == [False, False, True]
    assert watch((0, 1, 0), (99, 1, 1), (108, 1, 1), (110, 1, 1)) == [False, False, False, True]


def test_a_hung_engine_that_moves_again_is_well() -> None:
    assert watch((0, 1, 5), (11, 1, 5), (12, 1, 6)) == [False, True, False]


def test_the_reason_names_time_and_requests() -> None:
    watchdog = Watchdog(stall_after_s=10)
    watchdog.observe(now=0, unfinished=3, steps=1)
    assert watchdog.observe(now=12.4, unfinished=3, steps=1) == "no step for 12 s with 3 unfinished requests"


@pytest.mark.parametrize("steps", [0, 1])
def test_exactly_the_limit_is_forgiven(steps: int) -> None:
    limit = {0: 100, 1: 10}[steps]
    assert watch((0, 1, steps), (limit, 1, steps), (limit + 0.01, 1, steps)) == [False, False, True]
