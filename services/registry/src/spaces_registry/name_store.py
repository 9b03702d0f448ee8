"""All SQL on what things are called, for lists that hold ids. Deleted and ended things have names, too."""

from collections.abc import Sequence

from spaces_chassis.database import Database
from spaces_contracts.access import Sight
from spaces_contracts.names import PrincipalName, SpaceName, WorkerName
from spaces_registry.sight_sql import seen

# Logins and keys of one person that are looked for; older logins are forgotten anyway.
_FOUND = 2000


class NameStore:
    """Names of what a tenant may know (None: all)."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def spaces(self, space_ids: Sequence[str], sight: Sight) -> list[SpaceName]:
        """Of the spaces in sight."""
        rows = await self._database.fetch(
            f"""
            SELECT s.space_id, s.name, s.tenant_id, t.name AS tenant_name
              FROM registry.space s JOIN registry.tenant t USING (tenant_id)
             WHERE s.space_id = ANY ($1) AND {seen("$2", "$3")}
            """,
            list(space_ids),
            sight.tenant_id,
            sight.makers,
        )
        return [SpaceName(**dict(row)) for row in rows]

    async def principals(
        self, principal_ids: Sequence[str], tenant_id: str | None
    ) -> list[PrincipalName]:
        """Of the tenant's people and keys; never a whole email."""
        rows = await self._database.fetch(
            """
            SELECT p.principal_id, p.kind, p.user_id,
                   CASE WHEN p.kind <> 'user' THEN p.name
                        WHEN h.username <> '' THEN h.username ELSE split_part(h.email, '@', 1) END AS name
              FROM registry.principal p LEFT JOIN registry.person h USING (user_id)
             WHERE p.principal_id = ANY ($1)
               AND ($2::text IS NULL OR coalesce(p.tenant_id, h.tenant_id) = $2)
            """,
            list(principal_ids),
            tenant_id,
        )
        return [PrincipalName(**dict(row)) for row in rows]

    async def workers(self, connection_ids: Sequence[str], sight: Sight) -> list[WorkerName]:
        """Of connections to the spaces in sight, as long as they are remembered."""
        rows = await self._database.fetch(
            f"""
            SELECT c.connection_id, coalesce(c.agent ->> 'hostname', '') AS hostname,
                   coalesce(c.agent ->> 'version', '') AS version
              FROM registry.connection c JOIN registry.space s USING (space_id)
             WHERE c.connection_id = ANY ($1) AND {seen("$2", "$3")}
            """,
            list(connection_ids),
            sight.tenant_id,
            sight.makers,
        )
        return [WorkerName(**dict(row)) for row in rows]

    async def principals_of(self, who: str, tenant_id: str | None) -> list[str]:
        """A person's logins and keys, or the one key, newest first."""
        rows = await self._database.fetch(
            """
            SELECT p.principal_id
              FROM registry.principal p LEFT JOIN registry.person h USING (user_id)
             WHERE (p.user_id = $1 OR p.principal_id = $1)
               AND ($2::text IS NULL OR coalesce(p.tenant_id, h.tenant_id) = $2)
             ORDER BY p.principal_id DESC LIMIT $3
            """,
            who,
            tenant_id,
            _FOUND,
        )
        return [row["principal_id"] for row in rows]
