"""SQL of one request's story: its attempts, and which requests repeat it."""

from collections.abc import Sequence

from spaces_chassis.database import Database
from spaces_contracts.request_lists import (
    AttemptView,
    ConnectionLoad,
    RequestDetails,
    Retry,
)
from spaces_contracts.requests import RequestView

# Requests that are named of those that a connection works on.
_NAMED = 8


class DetailStore:
    """Reads stories."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def details(self, view: RequestView) -> RequestDetails:
        """What happened to a request that was read. Deadlines' clock is shown as the wall clock it is now."""
        attempts = await self._database.fetch(
            """
            SELECT a.attempt, a.connection_id, a.claimed_at + k.stepped AS dispatched_at,
                   a.released_at + k.stepped AS released_at,
                   -- An end that came first is noted as both.
                   CASE WHEN a.accepted_at IS DISTINCT FROM a.released_at THEN a.accepted_at + k.stepped END
                       AS accepted_at
            FROM scheduler.clock k JOIN scheduler.assignment a ON true
            WHERE a.request_id = $1 ORDER BY a.attempt
            """,
            view.request_id,
        )
        times = await self._database.fetchrow(
            """
            SELECT r.queued_at + k.stepped AS queued_at,
                   r.cancel_requested_at + k.stepped AS cancel_requested_at,
                   (SELECT retry_of FROM scheduler.retry WHERE request_id = r.request_id) AS retry_of,
                   ARRAY(SELECT n.request_id FROM scheduler.retry n
                         JOIN scheduler.request o ON o.request_id = n.request_id
                         WHERE n.retry_of = r.request_id ORDER BY n.request_id LIMIT 100) AS retried_as
            FROM scheduler.clock k JOIN scheduler.request r ON true WHERE r.request_id = $1
            """,
            view.request_id,
        )
        return RequestDetails(
            request=view,
            attempts=[AttemptView(**dict(row)) for row in attempts],
            **(dict(times) if times else {}),
        )

    async def note_retries(self, retries: Sequence[Retry]) -> None:
        """The first word counts."""
        await self._database.execute(
            """
            INSERT INTO scheduler.retry (request_id, retry_of)
            SELECT * FROM unnest($1::text[], $2::text[]) ON CONFLICT DO NOTHING
            """,
            [retry.request_id for retry in retries],
            [retry.retry_of for retry in retries],
        )

    async def loads(self, connection_ids: Sequence[str]) -> list[ConnectionLoad]:
        """What holds slots of these connections; one index lookup each."""
        rows = await self._database.fetch(
            """
            SELECT c.id AS connection_id, held.n AS in_flight, held.ids AS request_ids
            FROM unnest($1::text[]) AS c (id)
            CROSS JOIN LATERAL (
                SELECT count(*)::int AS n, coalesce(
                    (array_agg(a.request_id ORDER BY a.claimed_at))[1:$2], '{}') AS ids
                FROM scheduler.assignment a WHERE a.connection_id = c.id AND a.released_at IS NULL
            ) held
            WHERE held.n > 0
            """,
            list(connection_ids),
            _NAMED,
        )
        return [ConnectionLoad(**dict(row)) for row in rows]
