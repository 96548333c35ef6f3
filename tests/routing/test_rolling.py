"""Counts of the last so many steps: never more than there were, nothing of what is over."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from routing.rolling import RollingCount


def test_what_is_over_is_forgotten() -> None:
    count = RollingCount(steps=3, step_s=1.0)
    count.add(0.5)
    count.add(1.5, 2)
    assert [count.total(now) for now in (1.9, 2.9, 3.0, 3.9, 4.0)] == [3, 3, 2, 2, 0]


def test_one_is_taken_back_where_it_was_counted() -> None:
    count = RollingCount(steps=3, step_s=1.0)
    count.add(0.5)
    count.add(1.5)
    count.take_back(0.9)
    count.take_back(0.9)
    assert (count.total(1.5), count.total(3.0)) == (1, 1)
    count.take_back(9.0)
    assert count.total(3.0) == 1


def test_everything_can_be_forgotten() -> None:
    count = RollingCount(steps=3, step_s=1.0)
    count.add(0.5)
    count.clear()
    assert count.total(0.5) == 0


@given(st.lists(st.floats(0.0, 20.0, allow_subnormal=False)), st.integers(1, 5), st.sampled_from([0.5, 1.0, 2.0]))
def test_it_counts_the_steps_it_says(pauses: Sequence[float], steps: int, step_s: float) -> None:
    count, now, times = RollingCount(steps=steps, step_s=step_s), 0.0, []
    for pause in pauses:
        now += pause
        times.append(now)
        count.add(now)
        oldest = int(now // step_s) - steps
        assert count.total(now) == sum(int(then // step_s) > oldest for then in times)
