"""SQL of counts over time, and of queues that are not empty."""

from typing import Any

import asyncpg

from spaces_chassis.database import Database
from spaces_contracts.access import Sight
from spaces_contracts.system import BusyQueue, BusyQueues
from spaces_scheduler.figures import Counts
from spaces_scheduler.queue_estimate import queue_eta_s
from spaces_scheduler.sight_sql import seen

KEEP_DAYS = 8

_ADD = """
    INSERT INTO scheduler.figures AS f
    VALUES (date_trunc('minute', clock_timestamp()), $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
    ON CONFLICT (minute) DO UPDATE SET
        accepted = f.accepted + excluded.accepted,
        succeeded = f.succeeded + excluded.succeeded,
        failed = f.failed + excluded.failed,
        cancelled = f.cancelled + excluded.cancelled,
        expired = f.expired + excluded.expired,
        waits = scheduler.added(f.waits, excluded.waits),
        runs = scheduler.added(f.runs, excluded.runs),
        looks = f.looks + excluded.looks,
        queued_sum = f.queued_sum + excluded.queued_sum,
        queued_max = greatest(f.queued_max, excluded.queued_max),
        running_sum = f.running_sum + excluded.running_sum
"""
_STEPS = """
    SELECT to_timestamp(floor(extract(epoch FROM minute) / $1) * $1) AS at, sum(accepted)::bigint AS accepted,
           sum(succeeded)::bigint AS succeeded, sum(failed)::bigint AS failed,
           sum(cancelled)::bigint AS cancelled, sum(expired)::bigint AS expired,
           array_agg(waits) AS waits, array_agg(runs) AS runs, sum(looks)::bigint AS looks,
           sum(queued_sum)::bigint AS queued_sum, max(queued_max) AS queued_max,
           sum(running_sum)::bigint AS running_sum
    FROM scheduler.figures
    WHERE minute >= date_trunc('minute', clock_timestamp()) - make_interval(hours => $2)
    GROUP BY 1 ORDER BY 1
"""
_BUSY = f"""
    SELECT b.*, s.slots, s.free, s.connections > 0 AS connected FROM (
        SELECT l.space_id, l.tenant_id, l.queued, l.running, l.mean_run_s, count(*) OVER () AS spaces,
               sum(l.queued) OVER ()::bigint AS all_queued, sum(l.running) OVER ()::bigint AS all_running
        FROM scheduler.lane l
        WHERE (l.queued > 0 OR l.running > 0) AND {seen("$1", "$3", rows="l")}
        ORDER BY l.queued DESC, l.running DESC, l.space_id LIMIT $2
    ) b CROSS JOIN LATERAL scheduler.lane_slots(b.space_id) s
    ORDER BY b.queued DESC, b.running DESC, b.space_id
"""


class FigureStore:
    """Figures in PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, counts: Counts, look: tuple[int, int] | None) -> None:
        """To the running minute; a look is how many wait and run now."""
        queued, running = look or (0, 0)
        await self._database.execute(
            _ADD,
            counts.accepted,
            *[
                counts.ended.get(state, 0)
                for state in ("succeeded", "failed", "cancelled", "expired")
            ],
            list(counts.waits),
            list(counts.runs),
            int(look is not None),
            queued,
            queued,
            running,
        )

    async def forget(self) -> None:
        """Drops what is older than is shown."""
        await self._database.execute(
            "DELETE FROM scheduler.figures WHERE minute < clock_timestamp() - make_interval(days => $1)",
            KEEP_DAYS,
        )

    async def steps(self, hours: int, step_s: int) -> list[asyncpg.Record]:
        """Sums of each step, oldest first; `waits` and `runs` are lists of each minute's."""
        return await self._database.fetch(_STEPS, step_s, hours)

    async def busy(self, sight: Sight, limit: int) -> BusyQueues:
        """The fullest queues in sight. Costs a look at each space."""
        rows = await self._database.fetch(_BUSY, sight.tenant_id, limit, sight.makers)
        totals: dict[str, Any] = dict(rows[0]) if rows else {}
        return BusyQueues(
            queues=[_busy(row) for row in rows],
            queued=totals.get("all_queued", 0),
            running=totals.get("all_running", 0),
            more=totals.get("spaces", 0) - len(rows),
        )


def _busy(row: asyncpg.Record) -> BusyQueue:
    return BusyQueue(
        space_id=row["space_id"],
        tenant_id=row["tenant_id"],
        queue_size=row["queued"],
        running=row["running"],
        slots=row["slots"],
        connected=row["connected"],
        eta_s=queue_eta_s(row["queued"], row["free"], row["slots"], row["mean_run_s"]),
    )
