"""The platform over time, and where it is busy now."""

import asyncpg

from spaces_contracts.system import (
    BusyQueues,
    GetHistory,
    History,
    HistoryPoint,
    ListBusyQueues,
)
from spaces_scheduler.figure_store import FigureStore
from spaces_scheduler.figures import percentile, step_s


class Histories:
    """Answers from the figures."""

    def __init__(self, figures: FigureStore) -> None:
        self._figures = figures

    async def history(self, command: GetHistory) -> History:
        """Throughput, latency and queue."""
        step = step_s(command.hours)
        rows = await self._figures.steps(command.hours, step)
        return History(step_s=step, points=[_point(row) for row in rows])

    async def busy(self, command: ListBusyQueues) -> BusyQueues:
        """The fullest queues first."""
        return await self._figures.busy(command, command.limit)


def _point(row: asyncpg.Record) -> HistoryPoint:
    waits = [sum(column) for column in zip(*row["waits"], strict=True)]
    runs = [sum(column) for column in zip(*row["runs"], strict=True)]
    looks = row["looks"]
    return HistoryPoint(
        at=row["at"],
        accepted=row["accepted"],
        succeeded=row["succeeded"],
        failed=row["failed"],
        cancelled=row["cancelled"],
        expired=row["expired"],
        wait_p50_s=percentile(waits, 0.5),
        wait_p95_s=percentile(waits, 0.95),
        run_p50_s=percentile(runs, 0.5),
        run_p95_s=percentile(runs, 0.95),
        queued=row["queued_sum"] / looks if looks else None,
        queued_max=row["queued_max"] if looks else None,
        running=row["running_sum"] / looks if looks else None,
    )
