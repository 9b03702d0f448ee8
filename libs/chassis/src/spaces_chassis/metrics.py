"""One metrics registry a process. Names are checked where they are made, so a scrape never shows a bad one."""

import re
from collections.abc import Sequence

import prometheus_client
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    exposition,
)
from prometheus_client.registry import Collector

_NAME = re.compile(r"^spaces_[a-z][a-z0-9_]*$")
_UNITS = ("_seconds", "_bytes", "_ratio", "_items")

# Latencies from half a millisecond (an idle hop) to the longest a client waits.
LATENCY_BUCKETS_S = (
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
)  # fmt: skip

# The creation time of each series doubles the size of a scrape and is not a name promtool accepts.
# prometheus_client left this one function without types.
prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]  # its own lack


class Metrics:
    """The metrics of one process: `spaces_<what>_<unit>`, counters end in `_total`."""

    def __init__(self, service: str) -> None:
        self.service = service
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        GCCollector(registry=self.registry)

    def counter(self, name: str, help: str, labels: Sequence[str] = ()) -> Counter:
        """A count that only rises. Bind label children once, not per message."""
        if not name.endswith("_total"):
            raise ValueError(f"a counter's name ends in _total: {name}")
        return Counter(_checked(name), help, labels, registry=self.registry)

    def gauge(self, name: str, help: str, labels: Sequence[str] = ()) -> Gauge:
        """A value that goes up and down."""
        if name.endswith("_total"):
            raise ValueError(f"only a counter's name ends in _total: {name}")
        return Gauge(_checked(name), help, labels, registry=self.registry)

    def histogram(
        self,
        name: str,
        help: str,
        labels: Sequence[str] = (),
        buckets: Sequence[float] = LATENCY_BUCKETS_S,
    ) -> Histogram:
        """A distribution; its name ends in its unit."""
        if not name.endswith(_UNITS):
            raise ValueError(f"a histogram's name ends in its unit {_UNITS}: {name}")
        return Histogram(_checked(name), help, labels, registry=self.registry, buckets=buckets)

    def add(self, collector: Collector) -> None:
        """Adds a collector that computes its values when scraped."""
        self.registry.register(collector)

    def render(self) -> tuple[bytes, str]:
        """The scrape and its content type."""
        return exposition.generate_latest(self.registry), exposition.CONTENT_TYPE_LATEST


def _checked(name: str) -> str:
    if not _NAME.match(name):
        raise ValueError(f"a metric's name is spaces_<what>_<unit>: {name}")
    return name
