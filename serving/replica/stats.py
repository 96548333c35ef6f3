"""The one source of engine state: what vLLM reports after every step, added up.

Knows nothing of Ray and imports no vLLM; `serving/replica/vllm_adapter.py` feeds it. vLLM's prefix figures are deltas
of one step, so they are accumulated here; its gauges move only when the engine steps, so an idle engine reads as empty.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol


class PrefixSample(Protocol):
    """Prefix-cache lookups of one step, in tokens."""

    queries: int
    hits: int


class SchedulerSample(Protocol):
    """The part of vLLM's `SchedulerStats` that is used."""

    num_running_reqs: int
    num_waiting_reqs: int
    num_skipped_waiting_reqs: int
    kv_cache_usage: float

    @property
    def prefix_cache_stats(self) -> PrefixSample:
        """Lookups since the previous step."""
        ...


class IterationSample(Protocol):
    """The part of vLLM's `IterationStats` that is used."""

    num_generation_tokens: int

    @property
    def num_prompt_tokens(self) -> int:
        """Prompt tokens taken in by this step, cached ones included."""
        ...


@dataclass(frozen=True, slots=True)
class EngineState:
    """What `GET /engine/state` answers. Token figures are totals since the replica started."""

    model: str
    replica: str
    pid: int
    """The replica's own process; `pids` are those of the vLLM processes below it."""
    pids: tuple[int, ...]
    running: int
    waiting: int
    unfinished: int
    kv_usage: float
    """Share of the KV cache in use, 0 to 1."""
    prefix_queries: int
    prefix_hits: int
    prompt_tokens: int
    generated_tokens: int
    steps: int
    last_step_age_s: float | None
    """Seconds since the last step; None before the first one."""
    healthy: bool
    problem: str | None


class EngineStats:
    """Accumulates what the engine reports. `clock` gives monotonic seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._last_step_at: float | None = None
        self._running = 0
        self._waiting = 0
        self._kv_usage = 0.0
        self._prefix_queries = 0
        self._prefix_hits = 0
        self._prompt_tokens = 0
        self._generated_tokens = 0
        self.steps = 0

    def record(self, scheduler: SchedulerSample | None, iteration: IterationSample | None) -> None:
        """Take in one step."""
        self.steps += 1
        self._last_step_at = self._clock()
        if scheduler is not None:
            self._running = scheduler.num_running_reqs
            self._waiting = scheduler.num_waiting_reqs + scheduler.num_skipped_waiting_reqs
            self._kv_usage = scheduler.kv_cache_usage
            self._prefix_queries += scheduler.prefix_cache_stats.queries
            self._prefix_hits += scheduler.prefix_cache_stats.hits
        if iteration is not None:
            self._prompt_tokens += iteration.num_prompt_tokens
            self._generated_tokens += iteration.num_generation_tokens

    def state(
        self, *, model: str, replica: str, pid: int, pids: tuple[int, ...], unfinished: int, problem: str | None
    ) -> EngineState:
        """The figures now. `unfinished` counts requests the front end still waits for; `problem` is why it is ill."""
        idle = unfinished == 0  # aborting the last request makes no further step, so the gauges would stay behind
        return EngineState(
            model=model,
            replica=replica,
            pid=pid,
            pids=pids,
            running=0 if idle else self._running,
            waiting=0 if idle else self._waiting,
            unfinished=unfinished,
            kv_usage=0.0 if idle else self._kv_usage,
            prefix_queries=self._prefix_queries,
            prefix_hits=self._prefix_hits,
            prompt_tokens=self._prompt_tokens,
            generated_tokens=self._generated_tokens,
            steps=self.steps,
            last_step_age_s=None if self._last_step_at is None else self._clock() - self._last_step_at,
            healthy=problem is None,
            problem=problem,
        )
