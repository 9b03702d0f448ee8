"""What the scheduler counts."""

from collections.abc import Iterable

from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from spaces_chassis.metrics import Metrics
from spaces_contracts.requests import RequestState

REPAIRS = ("dispatch", "claim")


class Meters:
    """The metrics of the scheduler, with their label children bound once."""

    def __init__(self, metrics: Metrics) -> None:
        ends = metrics.counter(
            "spaces_requests_total", "Requests that ended, by their final state", ["outcome"]
        )
        self.ended = {state: ends.labels(state.value) for state in RequestState if state.terminal}
        self.refused = metrics.counter(
            "spaces_submits_refused_total", "Requests that were not accepted, by problem", ["code"]
        )
        self.accepted = metrics.counter("spaces_submits_total", "Requests that were accepted")
        self.wait_seconds = metrics.histogram(
            "spaces_request_wait_seconds", "From acceptance to the start of the last attempt"
        )
        self.run_seconds = metrics.histogram(
            "spaces_request_run_seconds", "From the start of the last attempt to its result"
        )
        self.dispatch_seconds = metrics.histogram(
            "spaces_dispatch_seconds", "From sending a job to the worker's first word about it"
        )
        results = metrics.counter("spaces_results_total", "Results by verdict", ["verdict"])
        self.results = {name: results.labels(name) for name in ("stored", "stale", "unknown")}
        self.refusals = metrics.counter(
            "spaces_job_refusals_total", "Jobs that a worker refused before they began"
        )
        repaired = metrics.counter(
            "spaces_repaired_total", "What fell through and was found by looking", ["kind"]
        )
        self.repaired = {kind: repaired.labels(kind) for kind in REPAIRS}
        self.clock_steps = metrics.counter(
            "spaces_clock_steps_total", "Steps of the database's wall clock that were seen"
        )
        self.queues = QueueGauges()
        metrics.add(self.queues)


class QueueGauges(Collector):
    """Figures of the whole platform: shown by the scheduler that leads, so that a sum counts nothing twice."""

    def __init__(self) -> None:
        self._totals: tuple[int, int] | None = None

    def show(self, queued: int, running: int) -> None:
        """On the scheduler that leads."""
        self._totals = (queued, running)

    def hide(self) -> None:
        """On all others."""
        self._totals = None

    def describe(self) -> Iterable[Metric]:
        """The names, for the registry's check of doubles."""
        return self._metrics(0, 0)

    def collect(self) -> Iterable[Metric]:
        """The figures, when this scheduler leads."""
        return [] if self._totals is None else self._metrics(*self._totals)

    def _metrics(self, queued: int, running: int) -> list[Metric]:
        return [
            GaugeMetricFamily("spaces_queue_depth", "Requests that wait", value=queued),
            GaugeMetricFamily("spaces_requests_running", "Requests that run", value=running),
        ]
