"""Deltas become totals, gauges follow the last step, an idle engine reads as empty."""

from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from serving.replica.stats import EngineState, EngineStats


@dataclass
class Prefix:
    queries: int = 0
    hits: int = 0


@dataclass
class Scheduler:
    num_running_reqs: int = 0
    num_waiting_reqs: int = 0
    num_skipped_waiting_reqs: int = 0
    kv_cache_usage: float = 0.0
    prefix_cache_stats: Prefix = field(default_factory=Prefix)


@dataclass
class Iteration:
    num_prompt_tokens: int = 0
    num_generation_tokens: int = 0


def state(stats: EngineStats, *, unfinished: int = 1, problem: str | None = None) -> EngineState:
    return stats.state(model="m", replica="r", pid=1, pids=(2,), unfinished=unfinished, problem=problem)


def test_before_the_first_step_everything_is_zero() -> None:
    fresh = state(EngineStats(clock=lambda: 5.0), unfinished=0)
    assert (fresh.running, fresh.waiting, fresh.steps, fresh.prompt_tokens) == (0, 0, 0, 0)
    assert fresh.last_step_age_s is None
    assert fresh.healthy


@given(st.lists(st.tuples(*[st.integers(0, 1000)] * 4)))
def test_deltas_add_up(steps: list[tuple[int, int, int, int]]) -> None:
    stats = EngineStats(clock=lambda: 0.0)
    for queries, hits, prompt, generated in steps:
        stats.record(Scheduler(prefix_cache_stats=Prefix(queries, hits)), Iteration(prompt, generated))
    seen = state(stats)
    totals = tuple(map(sum, zip(*steps, strict=True))) or (0, 0, 0, 0)
    assert (seen.prefix_queries, seen.prefix_hits, seen.prompt_tokens, seen.generated_tokens) == totals
    assert seen.steps == len(steps)


def test_gauges_follow_the_last_step_and_deferred_requests_wait_too() -> None:
    stats = EngineStats(clock=lambda: 0.0)
    stats.record(Scheduler(9, 9, 9, 0.9), None)
    stats.record(Scheduler(3, 2, 1, 0.25), None)
    seen = state(stats, unfinished=6)
    assert (seen.running, seen.waiting, seen.kv_usage, seen.unfinished) == (3, 3, 0.25, 6)


def test_a_step_may_lack_either_half() -> None:
    stats = EngineStats(clock=lambda: 0.0)
    stats.record(None, Iteration(4, 2))
    stats.record(Scheduler(1), None)
    assert (state(stats).prompt_tokens, state(stats).running, state(stats).steps) == (4, 1, 2)


def test_aborting_the_last_request_empties_the_gauges_without_a_step() -> None:
    stats = EngineStats(clock=lambda: 0.0)
    stats.record(Scheduler(3, 2, 1, 0.25), Iteration(5, 1))
    seen = state(stats, unfinished=0)
    assert (seen.running, seen.waiting, seen.kv_usage, seen.prompt_tokens) == (0, 0, 0.0, 5)


def test_the_age_of_the_last_step_is_told_by_the_clock() -> None:
    now = [10.0]
    stats = EngineStats(clock=lambda: now[0])
    stats.record(None, None)
    now[0] = 12.5
    assert state(stats).last_step_age_s == 2.5


def test_a_problem_makes_it_unhealthy() -> None:
    ill = state(EngineStats(clock=lambda: 0.0), problem="engine is dead")
    assert (ill.healthy, ill.problem) == (False, "engine is dead")
