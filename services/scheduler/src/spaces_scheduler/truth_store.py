"""SQL of announcements: what is true of some requests, and what follows from it."""

from collections.abc import Sequence
from dataclasses import dataclass

import asyncpg

from spaces_chassis.database import Database
from spaces_contracts.requests import Job, RequestFinished, RequestState
from spaces_scheduler.claimed_jobs import claimed_job
from spaces_scheduler.file_lists import decode_files
from spaces_scheduler.lane_counts import LaneCount, lane_count
from spaces_scheduler.request_store import decode_problem


@dataclass(frozen=True)
class Stop:
    """An attempt that its worker is to stop."""

    route: str
    connection_id: str
    request_id: str
    attempt: int


@dataclass(frozen=True)
class Truth:
    """One request: what must be sent, stopped or told because of its state."""

    request_id: str
    state: RequestState
    attempt: int
    lane: LaneCount
    job: Job | None
    stop: Stop | None
    finished: RequestFinished | None
    notify: str | None


class TruthStore:
    """Reads what is true."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def read(self, request_ids: Sequence[str]) -> list[Truth]:
        """One entry for each request that exists."""
        rows = await self._database.fetch("SELECT * FROM scheduler.truth($1)", list(request_ids))
        return [_truth(row) for row in rows]


def _truth(row: asyncpg.Record) -> Truth:
    return Truth(
        request_id=row["request_id"],
        state=RequestState(row["state"]),
        attempt=row["attempt"],
        lane=lane_count(row),
        job=claimed_job(row) if row["send"] else None,
        stop=Stop(row["route"], row["connection_id"], row["request_id"], row["held_attempt"])
        if row["stop"]
        else None,
        finished=None if row["finished_at"] is None else _finished(row),
        notify=row["notify"],
    )


def _finished(row: asyncpg.Record) -> RequestFinished:
    return RequestFinished(
        space_id=row["space_id"],
        request_id=row["request_id"],
        state=RequestState(row["state"]),
        attempt=row["attempt"],
        last_n=row["last_n"],
        output_json=None if row["output"] is None else row["output"].decode(),
        output_files=decode_files(row["output_files"]),
        error=decode_problem(row["error"]),
        created_at=row["created_at"],
        started_at=row["started_at"],
        finished_at=row["finished_at"],
        processing_time_seconds=row["processing_time_seconds"],
        timestamp=row["worker_timestamp"],
    )
