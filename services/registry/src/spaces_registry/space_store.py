"""All SQL on spaces. The scheduler's lane of a space is made and changed in the same transactions."""

import json
from collections.abc import Sequence
from typing import Any

import asyncpg

from spaces_chassis.database import Connection as Transaction
from spaces_chassis.database import Database
from spaces_contracts.access import Sight
from spaces_contracts.files import InputKind
from spaces_contracts.spaces import CoverPicture, Space, SpaceAudience, SpacePolicy, Visibility
from spaces_registry.naming import Candidate, Reference
from spaces_registry.sight_sql import hidden_among, seen

# More candidates than this make a message nobody reads.
_CANDIDATES = 20

_SPACE = """
    s.space_id, s.tenant_id, t.name AS tenant_name, s.name, s.description, s.enabled, s.inputs,
    s.policy, s.visibility, s.created_by, s.cover, s.created_at, s.updated_at,
    (SELECT count(*) FROM registry.connection c
      WHERE c.space_id = s.space_id AND c.ended_at IS NULL) AS connections
"""


class SpaceStore:
    """Spaces in PostgreSQL. Methods that take a transaction are parts of a larger one."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def candidates(
        self, reference: Reference, sight: Sight, scope: Sequence[str] | None
    ) -> list[Candidate]:
        """Spaces that a reference may mean, among those in sight.

        With a scope, the spaces of the scope's tenants are seen, and marked when they are not in it; private ones
        that are not in it are not.
        """
        rows = await self._database.fetch(
            f"""
            SELECT s.space_id, t.name AS tenant_name, s.name,
                   $5::text[] IS NULL OR s.space_id = ANY ($5) AS in_scope
              FROM registry.space s JOIN registry.tenant t USING (tenant_id)
             WHERE s.deleted_at IS NULL AND (s.space_id = $1 OR s.name = $2)
               AND ($3::text IS NULL OR t.name = $3)
               AND ($5::text[] IS NULL OR s.tenant_id IN
                    (SELECT o.tenant_id FROM registry.space o WHERE o.space_id = ANY ($5)))
               AND (s.space_id = ANY ($5) OR {seen("$4", "$7")})
             ORDER BY s.space_id = $1 DESC, in_scope DESC, t.name, s.name LIMIT $6
            """,
            reference.possible_id,
            reference.name,
            reference.tenant,
            sight.tenant_id,
            None if scope is None else list(scope),
            _CANDIDATES,
            sight.makers,
        )
        return [Candidate(**dict(row)) for row in rows]

    async def space(self, space_id: str) -> Space | None:
        """One space that is not deleted."""
        row = await self._database.fetchrow(
            f"""
            SELECT {_SPACE} FROM registry.space s JOIN registry.tenant t USING (tenant_id)
             WHERE s.space_id = $1 AND s.deleted_at IS NULL
            """,
            space_id,
        )
        return None if row is None else _space(row)

    async def hides(self, sight: Sight, space_ids: Sequence[str]) -> bool:
        """Whether one of these is private to others."""
        if not space_ids or sight.makers is None:
            return False
        return bool(
            await self._database.fetchval(
                f"SELECT {hidden_among('$1::text[]', '$2')}", list(space_ids), sight.makers
            )
        )

    async def tenants_of(self, space_ids: Sequence[str]) -> set[str]:
        """The tenants that spaces belong to."""
        rows = await self._database.fetch(
            "SELECT DISTINCT tenant_id FROM registry.space WHERE space_id = ANY ($1)",
            list(space_ids),
        )
        return {row["tenant_id"] for row in rows}

    async def audiences(self, space_ids: Sequence[str]) -> list[SpaceAudience]:
        """For whom these exist; deleted ones are left out."""
        rows = await self._database.fetch(
            """
            SELECT space_id, tenant_id,
                   CASE WHEN visibility = 'private' THEN coalesce(created_by, '') END AS private_to
              FROM registry.space WHERE space_id = ANY ($1) AND deleted_at IS NULL
            """,
            list(space_ids),
        )
        return [SpaceAudience(**dict(row)) for row in rows]

    async def page(
        self, sight: Sight, *, name: str | None, after: str | None, limit: int
    ) -> list[Space]:
        """Spaces in sight after an id, oldest first."""
        rows = await self._database.fetch(
            f"""
            SELECT {_SPACE} FROM registry.space s JOIN registry.tenant t USING (tenant_id)
             WHERE s.deleted_at IS NULL AND {seen("$1", "$5")}
               AND ($2::text IS NULL OR s.name = $2)
               AND ($3::text IS NULL OR s.space_id > $3)
             ORDER BY s.space_id LIMIT $4
            """,
            sight.tenant_id,
            name,
            after,
            limit,
            sight.makers,
        )
        return [_space(row) for row in rows]

    async def add(self, tx: Transaction, space: Space) -> bool:
        """False when the name is taken in its tenant."""
        added = await tx.fetchval(
            """
            INSERT INTO registry.space
                   (space_id, tenant_id, name, description, enabled, inputs, policy, visibility, created_by)
            VALUES ($1, $2, $3, $4, $5, $6, $7::jsonb, $8, $9)
            ON CONFLICT (tenant_id, name) WHERE deleted_at IS NULL DO NOTHING RETURNING true
            """,
            space.space_id,
            space.tenant_id,
            space.name,
            space.description,
            space.enabled,
            [kind.value for kind in space.inputs],
            space.policy.model_dump_json(),
            space.visibility.value,
            space.created_by,
        )
        if added:
            await self._open_lane(tx, space)
        return bool(added)

    async def lock(self, tx: Transaction, space_id: str) -> Space | None:
        """The space, locked before its connections and its lane; None when deleted or unknown."""
        locked = await tx.fetchval(
            """
            SELECT true FROM registry.space WHERE space_id = $1 AND deleted_at IS NULL
               FOR NO KEY UPDATE
            """,
            space_id,
        )
        if not locked:
            return None
        # In a statement of its own, so that it sees what was committed while we waited for the lock.
        row = await tx.fetchrow(
            f"""
            SELECT {_SPACE} FROM registry.space s JOIN registry.tenant t USING (tenant_id)
             WHERE s.space_id = $1
            """,
            space_id,
        )
        assert row is not None, "locked above"
        return _space(row)

    async def change(self, tx: Transaction, space: Space) -> None:
        """Writes a locked space. Raises asyncpg.UniqueViolationError when its new name is taken."""
        await tx.execute(
            """
            UPDATE registry.space
               SET name = $2, description = $3, enabled = $4, inputs = $5, policy = $6::jsonb, visibility = $7,
                   updated_at = clock_timestamp()
             WHERE space_id = $1
            """,
            space.space_id,
            space.name,
            space.description,
            space.enabled,
            [kind.value for kind in space.inputs],
            space.policy.model_dump_json(),
            space.visibility.value,
        )
        await self._open_lane(tx, space)

    async def set_cover(self, tx: Transaction, space_id: str, cover: CoverPicture | None) -> None:
        """Of a locked space."""
        await tx.execute(
            """
            UPDATE registry.space SET cover = $2::jsonb, updated_at = clock_timestamp() WHERE space_id = $1
            """,
            space_id,
            None if cover is None else cover.model_dump_json(),
        )

    async def delete(self, tx: Transaction, space_id: str) -> list[str]:
        """Gives the name back and closes the lane; returns requests to announce."""
        await tx.execute(
            """
            UPDATE registry.space SET deleted_at = clock_timestamp(), updated_at = clock_timestamp()
             WHERE space_id = $1
            """,
            space_id,
        )
        rows = await tx.fetch(
            "SELECT request_id FROM scheduler.lane_close($1) AS request_id", space_id
        )
        return [row["request_id"] for row in rows]

    async def _open_lane(self, tx: Transaction, space: Space) -> None:
        await tx.execute(
            "SELECT scheduler.lane_open($1, $2, $3, $4, $5::jsonb)",
            space.space_id,
            space.tenant_id,
            space.enabled,
            [kind.value for kind in space.inputs],
            space.policy.model_dump_json(),
        )
        await tx.execute("SELECT scheduler.lane_show($1, $2)", space.space_id, space.private_to)


def _space(row: asyncpg.Record) -> Space:
    values: dict[str, Any] = dict(row)
    values["inputs"] = [InputKind(kind) for kind in row["inputs"]]
    values["policy"] = SpacePolicy.model_validate(json.loads(row["policy"]))
    values["visibility"] = Visibility(row["visibility"])
    if row["cover"] is not None:
        values["cover"] = CoverPicture.model_validate_json(row["cover"])
    return Space(connected=row["connections"] > 0, **values)
