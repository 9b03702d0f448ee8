"""SQL of counting what has not ended, by tenant and by key."""

from collections.abc import Sequence

from spaces_chassis.database import Database


class CountStore:
    """Counts."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def of_tenants(self, tenant_ids: Sequence[str]) -> dict[str, tuple[int, int]]:
        """Requests that have not ended, and those of them that wait; costs a look at each space of the tenant."""
        rows = await self._database.fetch(
            """
            SELECT tenant_id, sum(queued + running)::int AS open, sum(queued)::int AS queued
              FROM scheduler.lane WHERE tenant_id = ANY ($1) GROUP BY tenant_id
            """,
            list(tenant_ids),
        )
        return {row["tenant_id"]: (row["open"], row["queued"]) for row in rows}

    async def of_key(self, principal_id: str, tenant_id: str) -> tuple[int, int]:
        """The same for a key; costs a look at each request of its tenant that has not ended."""
        row = await self._database.fetchrow(
            """
            SELECT count(*)::int AS open, count(*) FILTER (WHERE r.state = 'queued')::int AS queued
              FROM scheduler.lane l
              CROSS JOIN LATERAL (
                  SELECT q.state, q.principal_id FROM scheduler.request q
                   WHERE q.space_id = l.space_id AND q.state = 'queued'
                  UNION ALL
                  SELECT q.state, q.principal_id FROM scheduler.request q
                   WHERE q.space_id = l.space_id AND q.state = 'running'
              ) r
             WHERE l.tenant_id = $2 AND (l.queued > 0 OR l.running > 0) AND r.principal_id = $1
            """,
            principal_id,
            tenant_id,
        )
        assert row is not None, "an aggregate has a row"
        return row["open"], row["queued"]
