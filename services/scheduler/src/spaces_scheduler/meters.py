"""What the scheduler counts."""

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
        self._depth = metrics.gauge(
            "spaces_queue_depth", "Requests that wait; one scheduler shows it", ["duty"]
        )
        self._running = metrics.gauge(
            "spaces_requests_running", "Requests that run; one scheduler shows it", ["duty"]
        )

    def show_queues(self, queued: int, running: int) -> None:
        """On the scheduler that leads."""
        self._depth.labels("leader").set(queued)
        self._running.labels("leader").set(running)

    def hide_queues(self) -> None:
        """On all others: a sum over schedulers then counts nothing twice."""
        self._depth.clear()
        self._running.clear()
