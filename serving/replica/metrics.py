"""Engine state as Prometheus metrics `millrace_engine_*`, read at scrape time; no figure is kept twice."""

from collections.abc import Callable, Iterable

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from serving.replica.stats import EngineState

GAUGES = {
    "running": "Requests in the batch being stepped.",
    "waiting": "Requests waiting for a place in the batch.",
    "unfinished": "Requests accepted and not yet answered.",
    "kv_usage": "Share of the KV cache in use, 0 to 1.",
    "last_step_age_s": "Seconds since the engine's last step; absent before the first.",
    "healthy": "1 when engine and progress checks pass, else 0.",
}
COUNTERS = {
    "prefix_queries": "Prompt tokens looked up in the prefix cache.",
    "prefix_hits": "Prompt tokens found in the prefix cache.",
    "prompt_tokens": "Prompt tokens taken in.",
    "generated_tokens": "Tokens generated.",
    "steps": "Engine steps.",
}
LABELS = ("model", "replica")


class EngineCollector(Collector):
    """Yields `millrace_engine_<figure>`; counters end in `_total`."""

    def __init__(self, state: Callable[[], EngineState]) -> None:
        self._state = state

    def describe(self) -> Iterable[Metric]:
        """Nothing in advance: registering must not read the engine."""
        return []

    def collect(self) -> Iterable[Metric]:
        """One family per figure. See `prometheus_client.registry.Collector`."""
        state = self._state()
        labels = (state.model, state.replica)
        for name, help_text in GAUGES.items():
            value = getattr(state, name)
            gauge = GaugeMetricFamily(f"millrace_engine_{name}", help_text, labels=LABELS)
            if value is not None:
                gauge.add_metric(labels, float(value))
            yield gauge
        for name, help_text in COUNTERS.items():
            counter = CounterMetricFamily(f"millrace_engine_{name}", help_text, labels=LABELS)
            counter.add_metric(labels, float(getattr(state, name)))
            yield counter
