"""Counters and histograms cheap enough for the hot path: plain dicts, no locks, one event loop.

`Tally` is a prometheus_client collector, so exposition is the library's; only counting is ours, because a
prometheus_client increment takes a lock and a label look-up per call.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

Labels = tuple[str, ...]


class Counter:
    """A sum per label values."""

    def __init__(self, name: str, documentation: str, labels: Sequence[str]) -> None:
        self.name = name
        self._documentation = documentation
        self._labels = labels
        self.values: defaultdict[Labels, float] = defaultdict(float)
        if not labels:  # a sum without labels is there from the start, at zero
            self.values[()] = 0.0

    def add(self, labels: Labels, amount: float = 1.0) -> None:
        """Add `amount` to the series of these label values."""
        self.values[labels] += amount

    def family(self) -> Metric:
        """For exposition."""
        family = CounterMetricFamily(self.name, self._documentation, labels=self._labels)
        for labels, value in self.values.items():
            family.add_metric(labels, value)
        return family


class Histogram:
    """Counts per bucket and label values. `bounds`: upper bounds, ascending, without +Inf."""

    def __init__(self, name: str, documentation: str, labels: Sequence[str], bounds: Sequence[float]) -> None:
        self.name = name
        self._documentation = documentation
        self._labels = labels
        self._bounds = bounds
        self._counts: defaultdict[Labels, list[int]] = defaultdict(lambda: [0] * (len(bounds) + 1))
        self._sums: defaultdict[Labels, float] = defaultdict(float)

    def observe(self, labels: Labels, value: float) -> None:
        """Count one value."""
        self._counts[labels][bisect_left(self._bounds, value)] += 1
        self._sums[labels] += value

    def observe_all(self, labels: Labels, values: Iterable[float]) -> None:
        """Count many values of one series."""
        counts, bounds, total = self._counts[labels], self._bounds, 0.0
        for value in values:
            counts[bisect_left(bounds, value)] += 1
            total += value
        self._sums[labels] += total

    def family(self) -> Metric:
        """For exposition: cumulative counts per bucket."""
        family = HistogramMetricFamily(self.name, self._documentation, labels=self._labels)
        for labels, counts in self._counts.items():
            running, buckets = 0, []
            for bound, count in zip([*map(str, self._bounds), "+Inf"], counts, strict=True):
                running += count
                buckets.append((bound, float(running)))
            family.add_metric(labels, buckets, self._sums[labels])
        return family


class Gauge:
    """A value read when it is scraped."""

    def __init__(self, name: str, documentation: str, read: Callable[[], float]) -> None:
        self.name = name
        self._documentation = documentation
        self._read = read

    def family(self) -> Metric:
        """For exposition."""
        return GaugeMetricFamily(self.name, self._documentation, value=self._read())


class Gauges:
    """A value per value of one label, read when it is scraped."""

    def __init__(self, name: str, documentation: str, label: str, read: Callable[[], Mapping[str, float]]) -> None:
        self.name = name
        self._documentation = documentation
        self._label = label
        self._read = read

    def family(self) -> Metric:
        """For exposition."""
        family = GaugeMetricFamily(self.name, self._documentation, labels=(self._label,))
        for value, number in self._read().items():
            family.add_metric((value,), number)
        return family


class Tally(Collector):
    """Several of the above as one collector."""

    def __init__(self, metrics: Sequence[Counter | Histogram | Gauge | Gauges]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable[Metric]:
        """See prometheus_client's `Collector`."""
        return [metric.family() for metric in self._metrics]
