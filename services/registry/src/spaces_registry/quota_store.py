"""All SQL on limits and on stored bytes."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import asyncpg

from spaces_chassis.database import Database
from spaces_contracts.limits import Limits
from spaces_contracts.quotas import Holder, KeyLimits, LimitName

_LISTED = 1000
_LIMITS = "q.requests_per_minute, q.concurrent, q.queued, q.stored_bytes"
_USED_BY_TENANT = """
    SELECT coalesce(sum(size_bytes), 0)::bigint FROM registry.stored_bytes WHERE tenant_id = $1
"""
_USED_BY_KEY = """
    SELECT coalesce(sum(size_bytes), 0)::bigint FROM registry.stored_bytes_of_key WHERE key_id = $1
"""
_TAKE_FOR_TENANT = """
    INSERT INTO registry.stored_bytes AS s (tenant_id, day, size_bytes)
    SELECT t.tenant_id, $2, greatest(0, $3::bigint) FROM registry.tenant t WHERE t.tenant_id = $1
    ON CONFLICT (tenant_id, day) DO UPDATE SET size_bytes = greatest(0, s.size_bytes + $3::bigint)
"""
_TAKE_FOR_KEY = """
    INSERT INTO registry.stored_bytes_of_key AS s (key_id, day, size_bytes)
    VALUES ($1, $2, greatest(0, $3::bigint))
    ON CONFLICT (key_id, day) DO UPDATE SET size_bytes = greatest(0, s.size_bytes + $3::bigint)
"""


@dataclass(frozen=True)
class BytesToTake:
    """Bytes of a tenant, stored by one of its keys or by somebody else, and the limits of both."""

    day: date
    size_bytes: int
    tenant_id: str
    most_of_tenant: int | None
    key_id: str | None
    most_of_key: int | None

    def passes(self, most: int | None, used: int) -> bool:
        """Whether they do not fit."""
        return most is not None and self.size_bytes > 0 and used + self.size_bytes > most


@dataclass(frozen=True)
class Full:
    """Whose limit has no room for them."""

    holder: Holder
    used: int
    most: int | None


class QuotaStore:
    """Limits in PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def limits(
        self, holders: Sequence[tuple[Holder, str]]
    ) -> dict[tuple[Holder, str], Limits]:
        """What is set for these; who has nothing set is left out."""
        rows = await self._database.fetch(
            f"""
            SELECT q.holder, q.holder_id, {_LIMITS}
              FROM unnest($1::text[], $2::text[]) AS wanted (holder, holder_id)
              JOIN registry.quota q USING (holder, holder_id)
            """,
            [holder.value for holder, _ in holders],
            [holder_id for _, holder_id in holders],
        )
        return {(Holder(row["holder"]), row["holder_id"]): _limits(row) for row in rows}

    async def of_keys(self, tenant_id: str) -> list[KeyLimits]:
        """A tenant's keys that have limits of their own."""
        rows = await self._database.fetch(
            f"""
            SELECT q.holder_id, {_LIMITS} FROM registry.quota q
             WHERE q.tenant_id = $1 AND q.holder = 'key' ORDER BY q.holder_id LIMIT $2
            """,
            tenant_id,
            _LISTED,
        )
        return [KeyLimits(principal_id=row["holder_id"], limits=_limits(row)) for row in rows]

    async def change(
        self,
        holder: Holder,
        holder_id: str,
        tenant_id: str,
        limits: Limits,
        changed: Sequence[LimitName],
    ) -> None:
        """Sets the named limits and leaves the others."""
        await self._database.execute(
            """
            INSERT INTO registry.quota AS q
                   (holder, holder_id, tenant_id, requests_per_minute, concurrent, queued, stored_bytes)
            VALUES ($1, $2, $3, CASE WHEN 'requests_per_minute' = ANY ($8) THEN $4::int END,
                    CASE WHEN 'concurrent' = ANY ($8) THEN $5::int END,
                    CASE WHEN 'queued' = ANY ($8) THEN $6::int END,
                    CASE WHEN 'stored_bytes' = ANY ($8) THEN $7::bigint END)
            ON CONFLICT (holder, holder_id) DO UPDATE
               SET requests_per_minute = CASE WHEN 'requests_per_minute' = ANY ($8)
                       THEN excluded.requests_per_minute ELSE q.requests_per_minute END,
                   concurrent = CASE WHEN 'concurrent' = ANY ($8)
                       THEN excluded.concurrent ELSE q.concurrent END,
                   queued = CASE WHEN 'queued' = ANY ($8) THEN excluded.queued ELSE q.queued END,
                   stored_bytes = CASE WHEN 'stored_bytes' = ANY ($8)
                       THEN excluded.stored_bytes ELSE q.stored_bytes END
            """,
            holder.value,
            holder_id,
            tenant_id,
            limits.requests_per_minute,
            limits.concurrent,
            limits.queued,
            limits.stored_bytes,
            list(changed),
        )

    async def stored_bytes(self, tenant_id: str) -> int:
        """What a tenant's files take."""
        return int(await self._database.fetchval(_USED_BY_TENANT, tenant_id))

    async def take_storage(self, take: BytesToTake) -> Full | None:
        """Counts bytes in; None when they fit. Below zero: gives back, always fits."""
        async with self._database.transaction() as tx:
            # Two uploads that fit one by one and not together must not both be let in.
            await tx.execute(
                "SELECT pg_advisory_xact_lock(hashtextextended('stored bytes of ' || $1, 0))",
                take.tenant_id,
            )
            used = await tx.fetchval(_USED_BY_TENANT, take.tenant_id)
            if take.passes(take.most_of_tenant, used):
                return Full(Holder.TENANT, int(used), take.most_of_tenant)
            if take.most_of_key is not None:
                used = await tx.fetchval(_USED_BY_KEY, take.key_id)
                if take.passes(take.most_of_key, used):
                    return Full(Holder.KEY, int(used), take.most_of_key)
                await tx.execute(_TAKE_FOR_KEY, take.key_id, take.day, take.size_bytes)
            await tx.execute(_TAKE_FOR_TENANT, take.tenant_id, take.day, take.size_bytes)
        return None

    async def forget_storage(self, day: date) -> None:
        """The files of a day and of those before it are gone."""
        async with self._database.transaction() as tx:
            await tx.execute("DELETE FROM registry.stored_bytes WHERE day <= $1", day)
            await tx.execute("DELETE FROM registry.stored_bytes_of_key WHERE day <= $1", day)


def _limits(row: asyncpg.Record) -> Limits:
    return Limits(
        requests_per_minute=row["requests_per_minute"],
        concurrent=row["concurrent"],
        queued=row["queued"],
        stored_bytes=row["stored_bytes"],
    )
