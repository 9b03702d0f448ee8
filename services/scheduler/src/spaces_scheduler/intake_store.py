"""SQL of accepting requests: one function call, prepared once, on a connection of its own."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import asyncpg

from spaces_chassis.database import Database
from spaces_contracts.requests import NewRequest
from spaces_scheduler.claimed_jobs import ClaimedJob, claimed_job
from spaces_scheduler.file_lists import encode_files
from spaces_scheduler.lane_counts import LaneCount, lane_count
from spaces_scheduler.rounds import rounds


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
    jobs: list[ClaimedJob]
    lanes: list[LaneCount]


class IntakeStore:
    """Accepts."""

    def __init__(self, database: Database) -> None:
        self._submit = database.hot(
            "SELECT * FROM scheduler.submit_many($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12,"
            " $13, $14, $15)"
        )

    async def submit(self, requests: Sequence[NewRequest]) -> Intake:
        """Durable when it returns. Each request has its own verdict, in their order."""
        split = rounds(requests, names_of)
        if len(split) == 1:
            return await self._one_round(requests)
        parts = [await self._one_round([requests[nth] for nth in part]) for part in split]
        acceptances = {
            nth: acceptance
            for indexes, part in zip(split, parts, strict=True)
            for nth, acceptance in zip(indexes, part.acceptances, strict=True)
        }
        return Intake(
            [acceptances[nth] for nth in range(len(requests))],
            [job for part in parts for job in part.jobs],
            [lane for part in parts for lane in part.lanes],
        )

    async def _one_round(self, requests: Sequence[NewRequest]) -> Intake:
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
        intake = Intake([], [], [])
        payloads: dict[str, bytes] | None = None
        for row in rows:
            kind = row["kind"]
            if kind == "verdict":
                intake.acceptances.append(_acceptance(row))
            elif kind == "job":
                if payloads is None:
                    payloads = {r.request_id: r.payload.encode() for r in requests}
                intake.jobs.append(claimed_job(row, payloads))
            else:
                intake.lanes.append(lane_count(row))
        return intake


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
