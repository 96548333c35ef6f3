"""Our own counting gives the same metrics page as prometheus_client's own metrics would."""

from collections.abc import Sequence

import prometheus_client
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.registry import Collector

from serving.tally import Counter, Gauge, Gauges, Histogram, Tally
from serving.telemetry import GAP_SECONDS, SECONDS

labels = st.sampled_from(["a", 'quote"', "back\\slash", "new\nline", "ü"])
seconds = st.floats(0, 1000, allow_nan=False) | st.sampled_from(SECONDS)


def page(*metrics: Counter | Histogram | Gauge | Gauges) -> list[str]:
    return exposed(Tally(metrics))


def exposed(*collectors: Collector) -> list[str]:
    """The metrics page without the library's creation times, which ours leave out."""
    registry = CollectorRegistry()
    for collector in collectors:
        registry.register(collector)
    lines = generate_latest(registry).decode().splitlines()
    return [line for line in lines if "_created" not in line]


@pytest.mark.parametrize("bounds", [SECONDS, GAP_SECONDS], ids=["seconds", "gaps"])
@given(observed=st.lists(st.tuples(labels, seconds), max_size=30))
def test_a_histogram_is_exposed_as_the_librarys(bounds: Sequence[float], observed: list[tuple[str, float]]) -> None:
    ours = Histogram("h", "Help.", ("x",), bounds)
    theirs = prometheus_client.Histogram("h", "Help.", ("x",), buckets=bounds, registry=None)
    for label, value in observed:
        ours.observe((label,), value)
        theirs.labels(label).observe(value)
    assert page(ours) == exposed(theirs)


@given(observed=st.lists(seconds, min_size=1, max_size=30))
def test_many_values_at_once_count_as_one_by_one(observed: list[float]) -> None:
    at_once, one_by_one = (Histogram("h", "Help.", ("x",), SECONDS) for _ in range(2))
    at_once.observe_all(("a",), observed)
    for value in observed:
        one_by_one.observe(("a",), value)
    assert [line for line in page(at_once) if "_sum" not in line] == [
        line for line in page(one_by_one) if "_sum" not in line
    ]


@given(st.lists(st.tuples(labels, st.integers(0, 10)), max_size=20))
def test_a_counter_is_exposed_as_the_librarys(added: list[tuple[str, int]]) -> None:
    ours, theirs = Counter("c", "Help.", ("x",)), prometheus_client.Counter("c", "Help.", ("x",), registry=None)
    for label, amount in added:
        ours.add((label,), amount)
        theirs.labels(label).inc(amount)
    assert page(ours) == exposed(theirs)


def test_a_counter_without_labels_stands_at_zero_from_the_start() -> None:
    assert page(Counter("c", "Help.", ())) == exposed(prometheus_client.Counter("c", "Help.", registry=None))


def test_gauges_of_a_label_are_read_when_they_are_scraped() -> None:
    values = {"a": 1.0}
    gauges = Gauges("g", "Help.", "x", lambda: values)
    values["b"] = 2.0
    assert page(gauges)[-2:] == ['g{x="a"} 1.0', 'g{x="b"} 2.0']


def test_a_gauge_is_read_when_it_is_scraped() -> None:
    values = [1.0, 2.0]
    gauge = Gauge("g", "Help.", lambda: values.pop(0))
    assert page(gauge)[-1] == "g 1.0"
    assert page(gauge)[-1] == "g 2.0"
