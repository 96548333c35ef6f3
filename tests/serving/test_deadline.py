"""A deadline ends what waits too long, and nothing else; cancellations from elsewhere pass through it."""

import asyncio

import pytest

from serving.deadline import Deadline

FAR_S = 3600.0
NEVER = asyncio.Event


def now() -> float:
    return asyncio.get_running_loop().time()


async def test_what_waits_too_long_ends_with_a_timeout() -> None:
    with pytest.raises(TimeoutError), Deadline(now() + 0.01):
        await NEVER().wait()
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_what_is_done_in_time_hears_nothing_of_it() -> None:
    with Deadline(now() + 0.01):
        pass
    await asyncio.sleep(0.03)


async def test_a_deadline_that_has_passed_ends_the_next_wait() -> None:
    with pytest.raises(TimeoutError), Deadline(now() - 1.0):
        await NEVER().wait()


async def test_the_inner_of_two_is_the_one_that_ends() -> None:
    with Deadline(now() + FAR_S):
        with pytest.raises(TimeoutError), Deadline(now() + 0.01):
            await NEVER().wait()
        await asyncio.sleep(0)


async def test_the_outer_of_two_passes_through_the_inner() -> None:
    async def inner() -> None:
        with pytest.raises(asyncio.CancelledError), Deadline(now() + FAR_S):
            await NEVER().wait()
        raise asyncio.CancelledError

    with pytest.raises(TimeoutError), Deadline(now() + 0.01):
        await inner()


@pytest.mark.parametrize("first_s", [0.01, FAR_S], ids=["later", "sooner"])
async def test_it_can_be_moved(first_s: float) -> None:
    async def work() -> None:
        with Deadline(now() + first_s) as deadline:
            deadline.move(now() + 0.05)
            await NEVER().wait()

    began_s = now()
    with pytest.raises(TimeoutError):
        await work()
    assert now() >= began_s + 0.05


async def test_a_cancellation_from_elsewhere_stays_one() -> None:
    async def work() -> None:
        with Deadline(now() + FAR_S):
            await NEVER().wait()

    task = asyncio.ensure_future(work())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_cancellation_from_elsewhere_wins_over_a_deadline_at_the_same_moment() -> None:
    async def work() -> None:
        with Deadline(now() - 1.0):
            task = asyncio.current_task()
            assert task is not None
            task.get_loop().call_later(0, task.cancel)
            await NEVER().wait()

    task = asyncio.ensure_future(work())
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_an_error_in_time_passes_through() -> None:
    with pytest.raises(KeyError), Deadline(now() + FAR_S):
        raise KeyError
