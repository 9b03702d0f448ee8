"""SQL of accepting requests: one function call, prepared once, on a connection of its own."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field

import asyncpg

from spaces_chassis.database import Database
from spaces_contracts.requests import Job, NewRequest
from spaces_scheduler.claimed_jobs import claimed_job, job_of
from spaces_scheduler.file_lists import encode_files
from spaces_scheduler.lane_counts import LaneCount, lane_count
from spaces_scheduler.plans import ROW_BY_ROW
from spaces_scheduler.rounds import in_rounds


@dataclass(frozen=True)
class Acceptance:
    """What became of one request; `code` is a problem's when it was refused."""

    request_id: str
    code: str | None
    state: str | None
    position: int | None
    queue_size: int
    slots: int
    mean_run_s: float | None
    duplicate: bool


@dataclass(frozen=True)
class Intake:
    """What one call changed."""

    acceptances: list[Acceptance]
    jobs: list[Job] = field(default_factory=list)
    lanes: dict[str, LaneCount] = field(default_factory=dict)


class IntakeStore:
    """Accepts."""

    def __init__(self, database: Database) -> None:
        self._submit = database.hot(
            "SELECT * FROM scheduler.submit_many($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12,"
            " $13, $14, $15)",
            settings=ROW_BY_ROW,
        )

    async def submit(self, requests: Sequence[NewRequest]) -> Intake:
        """Durable when it returns. Each request has its own verdict, in their order."""
        intake = Intake([])
        intake.acceptances.extend(
            await in_rounds(requests, names_of, lambda part: self._one_round(part, intake))
        )
        return intake

    async def _one_round(self, requests: Sequence[NewRequest], intake: Intake) -> list[Acceptance]:
        rows = await self._submit.fetch(
            [r.request_id for r in requests],
            [r.space_id for r in requests],
            [r.tenant_id for r in requests],
            [r.principal_id for r in requests],
            [r.payload.encode() for r in requests],
            [",".join(r.inputs) for r in requests],
            [encode_files(r.files) for r in requests],
            [r.upload_url for r in requests],
            [r.priority for r in requests],
            [r.queue_timeout_s for r in requests],
            [r.run_timeout_s for r in requests],
            [r.timeout_s for r in requests],
            [r.idempotency_key for r in requests],
            [r.body_sha256 for r in requests],
            [r.notify for r in requests],
        )
        acceptances: dict[int, Acceptance] = {}
        for row in rows:
            if row["running"] is not None:
                intake.lanes[row["space_id"]] = lane_count(row)
            if row["kind"] == "job":
                intake.jobs.append(claimed_job(row))
                continue
            nth = row["ord"] - 1
            acceptances[nth] = _acceptance(row)
            if row["connection_id"] is not None:
                intake.jobs.append(job_of(requests[nth], row))
        return [acceptances[nth] for nth in range(len(requests))]


def names_of(request: NewRequest) -> list[Hashable]:
    """A retry may meet its first try in one batch, and so may two uses of one idempotency key."""
    if request.idempotency_key is None:
        return [request.request_id]
    return [request.request_id, (request.principal_id, request.idempotency_key)]


def _acceptance(row: asyncpg.Record) -> Acceptance:
    return Acceptance(
        request_id=row["request_id"],
        code=row["code"],
        state=row["state"],
        position=row["position"],
        queue_size=row["queue_size"],
        slots=row["slots"] or 0,
        mean_run_s=row["mean_run_s"],
        duplicate=row["duplicate"],
    )
