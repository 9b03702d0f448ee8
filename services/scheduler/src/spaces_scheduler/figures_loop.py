"""Adds what this process counted to the platform's figures; one scheduler also looks at the queues."""

from collections.abc import Iterable

from prometheus_client import Metric

from spaces_chassis.metrics import Metrics
from spaces_contracts.identifiers import new_id
from spaces_scheduler.figure_store import FigureStore
from spaces_scheduler.figures import Counts, ranges
from spaces_scheduler.request_store import RequestStore

EVERY_S = 10.0
_LEADS_FOR_S = 30.0
_ACCEPTED, _ENDED = "spaces_submits_total", "spaces_requests_total"
_WAITS, _RUNS = "spaces_request_wait_seconds_bucket", "spaces_request_run_seconds_bucket"


class FiguresLoop:
    """Reads the process's own metrics, so that counting costs requests nothing."""

    def __init__(self, figures: FigureStore, metrics: Metrics, requests: RequestStore) -> None:
        self._figures = figures
        self._registry = metrics.registry.restricted_registry([_ACCEPTED, _ENDED, _WAITS, _RUNS])
        self._requests = requests
        self._told = Counts()
        self._me = new_id()

    async def step(self) -> None:
        """What was counted since the last step that was stored goes to the running minute."""
        now = counted(self._registry.collect())
        new = now.since(self._told)
        leads = await self._requests.lead("figures", self._me, _LEADS_FOR_S)
        if new.empty and not leads:
            return
        await self._figures.add(new, await self._requests.totals() if leads else None)
        self._told = now
        if leads:
            await self._figures.forget()


def counted(metrics: Iterable[Metric]) -> Counts:
    """What the metrics of this process say."""
    accepted = 0
    ended: dict[str, int] = {}
    waits: list[float] = []
    runs: list[float] = []
    for metric in metrics:
        for sample in metric.samples:
            if sample.name == _ACCEPTED:
                accepted = int(sample.value)
            elif sample.name == _ENDED:
                ended[sample.labels["outcome"]] = int(sample.value)
            elif sample.name == _WAITS:
                waits.append(sample.value)
            elif sample.name == _RUNS:
                runs.append(sample.value)
    return Counts(accepted, ended, ranges(waits), ranges(runs))
