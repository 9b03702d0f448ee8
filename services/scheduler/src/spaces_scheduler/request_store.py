"""SQL of reading requests and queues, and of asking for a cancel."""

from collections.abc import Sequence

import asyncpg

from spaces_chassis.database import Database
from spaces_contracts.access import Sight
from spaces_contracts.problems import Problem
from spaces_contracts.requests import AskHolder, Queue, RequestState, RequestView
from spaces_scheduler.file_lists import decode_files
from spaces_scheduler.queue_estimate import eta_s, queue_eta_s
from spaces_scheduler.sight_sql import seen

# What a view is made of, beside its place, output and payload.
SHORT_COLUMNS = """
    r.request_id, r.space_id, r.tenant_id, l.private_to, r.principal_id, r.state, r.priority, r.attempt, r.tries,
    r.cancel_requested_at IS NOT NULL AS cancel_requested, r.inputs, r.files, r.created_at,
    r.started_at, r.finished_at, t.output_files, t.error, coalesce(t.last_n, 0) AS last_n,
    t.processing_time_seconds, t.worker_timestamp, l.queued, l.mean_run_s
"""
_WHOLE = f"""
    SELECT {SHORT_COLUMNS}, place.position, place.slots, CASE WHEN $4::boolean THEN t.output END AS output,
           CASE WHEN $3::boolean THEN r.payload END AS payload
    FROM scheduler.request r
    JOIN scheduler.lane l ON l.space_id = r.space_id
    LEFT JOIN scheduler.result t ON t.request_id = r.request_id
    LEFT JOIN LATERAL (
        SELECT scheduler.queue_position(r.space_id, r.priority, r.seq) AS position, s.slots
        FROM scheduler.lane_slots(r.space_id) s
    ) place ON r.state = 'queued'
"""


class RequestStore:
    """Reads."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(
        self,
        request_ids: Sequence[str],
        sight: Sight,
        *,
        with_payload: bool = False,
        with_output: bool = True,
    ) -> list[RequestView]:
        """In the order of their ids asked for; unknown ones, and what is out of sight, are left out."""
        rows = await self._database.fetch(
            f"{_WHOLE} WHERE r.request_id = ANY ($1) AND {seen('$2', '$5')}",
            list(request_ids),
            sight.tenant_id,
            with_payload,
            with_output,
            sight.makers,
        )
        views = {row["request_id"]: view_of(row) for row in rows}
        return [views[wanted] for wanted in request_ids if wanted in views]

    async def queues(self, space_ids: Sequence[str]) -> list[Queue]:
        """The queues of the spaces that exist, in the order asked for."""
        rows = await self._database.fetch(
            "SELECT * FROM scheduler.queues($1)", sorted(set(space_ids))
        )
        queues = {row["space_id"]: _queue(row) for row in rows}
        return [queues[wanted] for wanted in space_ids if wanted in queues]

    async def cancel(self, request_id: str, sight: Sight) -> bool:
        """False when there is no such request in sight."""
        return bool(await self.cancel_all([request_id], sight))

    async def cancel_all(self, request_ids: Sequence[str], sight: Sight) -> list[str]:
        """Those in sight, in one transaction: callers name some hundreds of one space at most."""
        rows = await self._database.fetch(
            f"""
            SELECT scheduler.cancel_many(s.ids, array_fill($2::text, ARRAY[cardinality(s.ids)])) AS request_id
            FROM (SELECT ARRAY(
                SELECT r.request_id FROM scheduler.request r JOIN scheduler.lane l ON l.space_id = r.space_id
                WHERE r.request_id = ANY ($1) AND {seen("$2", "$3")}) AS ids) s
            WHERE cardinality(s.ids) > 0
            """,
            list(request_ids),
            sight.tenant_id,
            sight.makers,
        )
        return [row["request_id"] for row in rows]

    async def holds(self, ask: AskHolder) -> bool:
        """Whether the attempt is the newest and the agent has it; a cut-off agent may still be adopted with it."""
        found = await self._database.fetchval(
            "SELECT EXISTS (SELECT FROM scheduler.request r"
            " JOIN scheduler.assignment a ON a.request_id = r.request_id AND a.attempt = r.attempt"
            " WHERE r.request_id = $1 AND r.attempt = $2 AND a.instance_id = $3"
            " AND r.space_id = ANY ($4) AND r.state IN ('queued', 'running'))",
            ask.request_id,
            ask.attempt,
            ask.instance_id,
            ask.space_ids,
        )
        return bool(found)

    async def totals(self) -> tuple[int, int]:
        """How many requests wait and run in all lanes."""
        row = await self._database.fetchrow(
            "SELECT coalesce(sum(queued), 0)::int AS queued, coalesce(sum(running), 0)::int AS running"
            " FROM scheduler.lane"
        )
        assert row is not None, "an aggregate has a row"
        return row["queued"], row["running"]

    async def lead(self, duty: str, holder: str, lease_s: float) -> bool:
        """Takes or keeps a duty that one scheduler has at a time."""
        won = await self._database.fetchval(
            """
            INSERT INTO scheduler.leader AS l (duty, holder, lease_until)
            VALUES ($1, $2, clock_timestamp() + make_interval(secs => $3))
            ON CONFLICT (duty) DO UPDATE SET holder = excluded.holder, lease_until = excluded.lease_until
             WHERE l.holder = excluded.holder OR l.lease_until < clock_timestamp()
                OR l.lease_until > clock_timestamp() + make_interval(secs => 2 * $3)
            RETURNING true
            """,
            duty,
            holder,
            lease_s,
        )
        return bool(won)


def view_of(row: asyncpg.Record) -> RequestView:
    """A request of a row with SHORT_COLUMNS, its place, output and payload."""
    return RequestView(
        request_id=row["request_id"],
        space_id=row["space_id"],
        tenant_id=row["tenant_id"],
        private_to=row["private_to"],
        principal_id=row["principal_id"],
        state=RequestState(row["state"]),
        priority=row["priority"],
        attempt=row["attempt"],
        tries=row["tries"],
        position=row["position"],
        queue_size=row["queued"],
        eta_s=eta_s(row["position"], row["slots"] or 0, row["mean_run_s"]),
        cancel_requested=row["cancel_requested"],
        payload_json=_text(row["payload"]),
        inputs=row["inputs"],
        files=decode_files(row["files"]),
        created_at=row["created_at"],
        started_at=row["started_at"],
        finished_at=row["finished_at"],
        output_json=_text(row["output"]),
        output_files=decode_files(row["output_files"]),
        error=decode_problem(row["error"]),
        last_n=row["last_n"],
        processing_time_seconds=row["processing_time_seconds"],
        timestamp=row["worker_timestamp"],
    )


def _queue(row: asyncpg.Record) -> Queue:
    return Queue(
        space_id=row["space_id"],
        queue_size=row["queue_size"],
        running=row["running"],
        slots=row["slots"],
        connected=row["connected"],
        eta_s=queue_eta_s(row["queue_size"], row["free"], row["slots"], row["mean_run_s"]),
    )


def decode_problem(body: bytes | None) -> Problem | None:
    """A stored problem."""
    return None if body is None else Problem.model_validate_json(body)


def _text(body: bytes | None) -> str | None:
    return None if body is None else body.decode()
