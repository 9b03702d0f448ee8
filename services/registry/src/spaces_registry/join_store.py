"""All SQL on join tokens."""

from collections.abc import Sequence
from dataclasses import dataclass

import asyncpg

from spaces_chassis.database import Connection as Transaction
from spaces_chassis.database import Database
from spaces_contracts.identifiers import new_id
from spaces_contracts.joins import JoinToken
from spaces_registry.sight_sql import hidden_among

# As many as fit in one message.
_LISTED = 2000
_JOIN = """
    join_id, tenant_id, name, prefix, space_ids, created_at, expires_at, revoked_at, used_at, used_by
"""


@dataclass(frozen=True)
class NewJoinToken:
    """One to store."""

    join_sha256: str
    prefix: str
    name: str
    tenant_id: str | None
    space_ids: list[str]
    created_by: str
    expires_in_s: float


@dataclass(frozen=True)
class Redeemable:
    """One that somebody holds, locked; whether it is too late, and who made it."""

    token: JoinToken
    is_over: bool
    created_by: str


class JoinStore:
    """Join tokens in PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, new: NewJoinToken) -> JoinToken | None:
        """None when the hash exists."""
        row = await self._database.fetchrow(
            f"""
            INSERT INTO registry.join_token
                   (join_id, join_sha256, prefix, name, tenant_id, space_ids, created_by, expires_at)
            VALUES ($1, $2, $3, $4, $5, $6, $7, clock_timestamp() + make_interval(secs => $8))
            ON CONFLICT (join_sha256) DO NOTHING RETURNING {_JOIN}
            """,
            new_id(),
            new.join_sha256,
            new.prefix,
            new.name,
            new.tenant_id,
            new.space_ids,
            new.created_by,
            new.expires_in_s,
        )
        return None if row is None else _join(row)

    async def listed(self, only: str | None, makers: Sequence[str] | None) -> list[JoinToken]:
        """Of all tenants or of one, newest first, without those for private spaces of others than the makers."""
        rows = await self._database.fetch(
            f"""
            SELECT {_JOIN} FROM registry.join_token
             WHERE ($1::text IS NULL OR tenant_id = $1) AND NOT {hidden_among("space_ids", "$3")}
             ORDER BY created_at DESC, join_id DESC LIMIT $2
            """,
            only,
            _LISTED,
            makers,
        )
        return [_join(row) for row in rows]

    async def revoke(
        self, join_id: str, only: str | None, makers: Sequence[str] | None
    ) -> JoinToken | None:
        """The token, taken back unless it was used; None when there is none such that they see."""
        row = await self._database.fetchrow(
            f"""
            UPDATE registry.join_token
               SET revoked_at = CASE WHEN used_at IS NULL THEN coalesce(revoked_at, clock_timestamp()) END
             WHERE join_id = $1 AND ($2::text IS NULL OR tenant_id = $2)
               AND NOT {hidden_among("space_ids", "$3")}
            RETURNING {_JOIN}
            """,
            join_id,
            only,
            makers,
        )
        return None if row is None else _join(row)

    async def lock(self, tx: Transaction, join_sha256: str) -> Redeemable | None:
        """Whoever else holds it waits until this transaction ends. None when it is unknown."""
        row = await tx.fetchrow(
            f"""
            SELECT {_JOIN}, created_by, revoked_at IS NOT NULL OR expires_at <= clock_timestamp() AS is_over
              FROM registry.join_token WHERE join_sha256 = $1 FOR UPDATE
            """,
            join_sha256,
        )
        return None if row is None else Redeemable(_join(row), row["is_over"], row["created_by"])

    async def is_repeat(self, tx: Transaction, used_by: str, secret_sha256: str) -> bool:
        """Whether the worker token that came of it is the very one that is asked for, and still good."""
        found = await tx.fetchval(
            """
            SELECT EXISTS (SELECT 1 FROM registry.principal
                            WHERE principal_id = $1 AND secret_sha256 = $2 AND revoked_at IS NULL)
            """,
            used_by,
            secret_sha256,
        )
        return bool(found)

    async def use_up(self, tx: Transaction, join_id: str, principal_id: str) -> None:
        """What came of it."""
        await tx.execute(
            """
            UPDATE registry.join_token SET used_at = clock_timestamp(), used_by = $2 WHERE join_id = $1
            """,
            join_id,
            principal_id,
        )


def _join(row: asyncpg.Record) -> JoinToken:
    names = JoinToken.model_fields
    return JoinToken(**{name: value for name, value in row.items() if name in names})
