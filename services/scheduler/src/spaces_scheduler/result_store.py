"""SQL of what workers tell: results on a hot connection of their own, acceptances and refusals in the pool."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import asyncpg

from spaces_chassis.database import Database
from spaces_contracts.requests import Job, JobAnswer, JobResult
from spaces_scheduler.claimed_jobs import claimed_job
from spaces_scheduler.file_lists import encode_files
from spaces_scheduler.lane_counts import LaneCount, lane_count
from spaces_scheduler.plans import ROW_BY_ROW
from spaces_scheduler.rounds import in_rounds


@dataclass(frozen=True)
class Judgement:
    """What became of one result: stored, stale or unknown; `finished` when it ended its request now."""

    verdict: str
    finished: bool
    state: str | None
    error: bytes | None
    created_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None
    notify: str | None
    run_s: float | None


@dataclass(frozen=True)
class Outcome:
    """What one call changed."""

    judgements: list[Judgement]
    jobs: list[Job] = field(default_factory=list)
    lanes: dict[str, LaneCount] = field(default_factory=dict)


class ResultStore:
    """Writes what workers tell."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._finish = database.hot(
            "SELECT * FROM scheduler.finish_many($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
            settings=ROW_BY_ROW,
        )

    async def finish(self, results: Sequence[JobResult]) -> Outcome:
        """Durable when it returns. Each result has its own verdict, in their order."""
        outcome = Outcome([])
        outcome.judgements.extend(
            await in_rounds(
                results,
                lambda result: [result.request_id],
                lambda part: self._one_round(part, outcome),
            )
        )
        return outcome

    async def _one_round(self, results: Sequence[JobResult], outcome: Outcome) -> list[Judgement]:
        rows = await self._finish.fetch(
            [r.space_id for r in results],
            [r.connection_id for r in results],
            [r.request_id for r in results],
            [r.attempt for r in results],
            [r.state.value for r in results],
            [None if r.output_json is None else r.output_json.encode() for r in results],
            [encode_files(r.output_files) for r in results],
            [None if r.error is None else r.error.model_dump_json().encode() for r in results],
            [r.last_n for r in results],
            [r.processing_time_seconds for r in results],
            [_aware(r.timestamp) for r in results],
        )
        judgements: dict[int, Judgement] = {}
        for row in rows:
            if row["running"] is not None:
                outcome.lanes[row["space_id"]] = lane_count(row)
            if row["kind"] == "job":
                outcome.jobs.append(claimed_job(row))
            else:
                judgements[row["ord"] - 1] = _judgement(row)
        return [judgements[nth] for nth in range(len(results))]

    async def accept(self, answers: Sequence[JobAnswer]) -> int:
        """Notes that workers took jobs; how many were still to be noted."""
        noted: int = await self._database.fetchval(
            "SELECT scheduler.accept_many($1, $2, $3)",
            [a.connection_id for a in answers],
            [a.request_id for a in answers],
            [a.attempt for a in answers],
        )
        return noted

    async def refuse(self, answers: Sequence[JobAnswer]) -> list[str]:
        """Queues refused jobs again; the requests to announce."""
        rows = await self._database.fetch(
            "SELECT request_id FROM scheduler.refuse_many($1, $2, $3, $4) AS request_id",
            [a.space_id for a in answers],
            [a.connection_id for a in answers],
            [a.request_id for a in answers],
            [a.attempt for a in answers],
        )
        return [row["request_id"] for row in rows]


def _judgement(row: asyncpg.Record) -> Judgement:
    return Judgement(
        verdict=row["verdict"],
        finished=row["finished"],
        state=row["state"],
        error=row["error"],
        created_at=row["created_at"],
        started_at=row["started_at"],
        finished_at=row["finished_at"],
        notify=row["notify"],
        run_s=row["run_s"],
    )


def _aware(moment: datetime | None) -> datetime | None:
    """A worker's clock without a zone is taken to be UTC."""
    if moment is None or moment.tzinfo is not None:
        return moment
    return moment.replace(tzinfo=UTC)
