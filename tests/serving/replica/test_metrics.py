"""Engine state in Prometheus' text format."""

from prometheus_client import CollectorRegistry, generate_latest

from serving.replica.metrics import COUNTERS, GAUGES, EngineCollector
from serving.replica.stats import EngineState, EngineStats


def scrape(state: EngineState) -> str:
    registry = CollectorRegistry()
    registry.register(EngineCollector(lambda: state))
    return generate_latest(registry).decode()


def fresh(**more: object) -> EngineState:
    stats = EngineStats(clock=lambda: 1.0)
    if more.pop("stepped", False):
        stats.record(None, None)
    return stats.state(model="m", replica="r1", pid=1, pids=(), unfinished=2, problem=None)


def test_every_figure_is_exposed_with_model_and_replica() -> None:
    text = scrape(fresh(stepped=True))
    for name in GAUGES:
        assert f'millrace_engine_{name}{{model="m",replica="r1"}} ' in text
    for name in COUNTERS:
        assert f'millrace_engine_{name}_total{{model="m",replica="r1"}} ' in text
    assert 'millrace_engine_unfinished{model="m",replica="r1"} 2.0' in text
    assert 'millrace_engine_healthy{model="m",replica="r1"} 1.0' in text


def test_no_age_before_the_first_step() -> None:
    assert "millrace_engine_last_step_age_s{" not in scrape(fresh())


def test_registering_does_not_read_the_engine() -> None:
    def fail() -> EngineState:
        raise AssertionError("read too early")

    CollectorRegistry().register(EngineCollector(fail))
