"""All SQL on leases: who was heard, who is doubted, whose time is over."""

from collections.abc import Sequence

from spaces_chassis.database import Connection as Transaction
from spaces_chassis.database import Database
from spaces_contracts.connections import LEASE_S, GatewayBeat
from spaces_registry.connection_store import by_space
from spaces_registry.leases import LEASE_LIMIT_S

# What a gateway is told about: older ends were told before.
_TOLD_FOR_S = 60.0
_TOLD = 1000

# Causes of doubt. A gateway's own silence is disproved by its next beat; the others are about one socket.
GATEWAY_LOST = "gateway_lost"
SOCKET_LOST = "socket_lost"
UNREACHABLE = "unreachable"
WORKER_LOST = "worker_lost"


class LeaseStore:
    """Leases in PostgreSQL, all by the database's clock."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def database_s(self) -> float:
        """The database's wall clock, as Unix time."""
        now: float = await self._database.fetchval(
            "SELECT extract(epoch FROM clock_timestamp())::float8"
        )
        return now

    async def renew_gateway(self, beat: GatewayBeat) -> None:
        """Renews the lease of a gateway, and drops doubts that its silence had raised."""
        await self._database.execute(
            """
            INSERT INTO registry.gateway (gateway_id, version, connections, lease_until, leaving)
            VALUES ($1, $2, $3, clock_timestamp() + make_interval(secs => $5), $4)
            ON CONFLICT (gateway_id) DO UPDATE
               SET version = excluded.version, connections = excluded.connections,
                   lease_until = excluded.lease_until, leaving = excluded.leaving
            """,
            beat.gateway_id,
            beat.version,
            beat.connections,
            beat.leaving,
            LEASE_S,
        )
        await self._trust(beat.gateway_id, beat.held)

    async def know_gateway(self, gateway_id: str) -> None:
        """A gateway that brings a worker lives, even if its first beat was lost."""
        await self._database.execute(
            """
            INSERT INTO registry.gateway (gateway_id, lease_until)
            VALUES ($1, clock_timestamp() + make_interval(secs => $2))
            ON CONFLICT (gateway_id) DO UPDATE SET lease_until = excluded.lease_until
             WHERE registry.gateway.lease_until < clock_timestamp() + make_interval(secs => $2 / 2)
            """,
            gateway_id,
            LEASE_S,
        )

    async def told(self, gateway_id: str) -> list[str]:
        """Connections of a gateway that ended lately, without those that left by themselves."""
        rows = await self._database.fetch(
            """
            SELECT connection_id FROM registry.connection
             WHERE gateway_id = $1 AND ended_at > clock_timestamp() - make_interval(secs => $2)
               AND reason <> 'left' ORDER BY ended_at DESC LIMIT $3
            """,
            gateway_id,
            _TOLD_FOR_S,
            _TOLD,
        )
        return [row["connection_id"] for row in rows]

    async def doubted(self, gateway_id: str) -> list[str]:
        """Connections of a gateway that somebody could not reach: it says which it holds."""
        rows = await self._database.fetch(
            """
            SELECT connection_id FROM registry.connection
             WHERE gateway_id = $1 AND ended_at IS NULL AND suspect_cause = $2 LIMIT $3
            """,
            gateway_id,
            UNREACHABLE,
            _TOLD,
        )
        return [row["connection_id"] for row in rows]

    async def _trust(self, gateway_id: str, held: Sequence[str]) -> None:
        await self._database.execute(
            """
            WITH doubted AS (
                SELECT connection_id FROM registry.connection
                 WHERE gateway_id = $1 AND ended_at IS NULL
                   AND (suspect_cause = $2 OR suspect_cause = $3 AND connection_id = ANY ($4))
                 ORDER BY connection_id FOR NO KEY UPDATE)
            UPDATE registry.connection c
               SET suspect_since = NULL, suspect_cause = NULL, lease_until = NULL
              FROM doubted WHERE c.connection_id = doubted.connection_id
            """,
            gateway_id,
            GATEWAY_LOST,
            UNREACHABLE,
            list(held),
        )

    async def suspect(
        self, connection_ids: Sequence[str], cause: str, lease_s: float = LEASE_S
    ) -> int:
        """Lets the leases of some connections run out; returns how many were not doubted before."""
        return await self._suspect(
            "c.connection_id = ANY ($1)", list(connection_ids), cause, lease_s
        )

    async def suspect_gateway(self, gateway_id: str) -> int:
        """Doubts all sockets of a gateway."""
        return await self._suspect("c.gateway_id = $1", gateway_id, GATEWAY_LOST, LEASE_S)

    async def _suspect(self, which: str, value: object, cause: str, lease_s: float) -> int:
        rows = await self._database.fetch(
            f"""
            WITH trusted AS (
                SELECT c.connection_id FROM registry.connection c
                 WHERE {which} AND c.ended_at IS NULL AND c.suspect_since IS NULL
                 ORDER BY c.connection_id FOR NO KEY UPDATE)
            UPDATE registry.connection c
               SET suspect_since = clock_timestamp(), suspect_cause = $2,
                   lease_until = least(c.lease_until, clock_timestamp() + make_interval(secs => $3))
              FROM trusted WHERE c.connection_id = trusted.connection_id RETURNING 1
            """,
            value,
            cause,
            lease_s,
        )
        return len(rows)

    async def renew_workers(self, connection_ids: Sequence[str]) -> set[str]:
        """Renews the leases of direct workers; returns those that are not live any more."""
        rows = await self._database.fetch(
            """
            WITH live AS (
                SELECT connection_id FROM registry.connection
                 WHERE connection_id = ANY ($1) AND ended_at IS NULL AND gateway_id IS NULL
                   -- A beat that a crash of the database forgets is followed by another in a second.
                   AND set_config('synchronous_commit', 'off', true) IS NOT NULL
                 ORDER BY connection_id FOR NO KEY UPDATE),
            renewed AS (
                UPDATE registry.connection c
                   SET lease_until = clock_timestamp() + make_interval(secs => $2),
                       suspect_since = NULL, suspect_cause = NULL
                  FROM live WHERE c.connection_id = live.connection_id
                RETURNING c.connection_id)
            SELECT beaten.connection_id FROM unnest($1::text[]) AS beaten (connection_id)
             WHERE beaten.connection_id NOT IN (SELECT renewed.connection_id FROM renewed)
            """,
            list(connection_ids),
            LEASE_S,
        )
        return {row["connection_id"] for row in rows}

    async def clamp(self) -> None:
        """Shortens leases that a backward step of the clock has made too long."""
        await self._database.execute(
            """
            UPDATE registry.gateway SET lease_until = clock_timestamp() + make_interval(secs => $1)
             WHERE lease_until > clock_timestamp() + make_interval(secs => $2)
            """,
            LEASE_S,
            LEASE_LIMIT_S,
        )
        await self._database.execute(
            """
            WITH distant AS (
                SELECT connection_id FROM registry.connection
                 WHERE ended_at IS NULL AND lease_until IS NOT NULL
                   AND lease_until > clock_timestamp() + make_interval(secs => $2)
                 ORDER BY connection_id FOR NO KEY UPDATE)
            UPDATE registry.connection c
               SET lease_until = clock_timestamp() + make_interval(secs => $1)
              FROM distant WHERE c.connection_id = distant.connection_id
            """,
            LEASE_S,
            LEASE_LIMIT_S,
        )

    async def expired(self, at_s: float, limit: int) -> list[tuple[str, list[str]]]:
        """Live connections whose time was over at a moment of the database's clock, by space."""
        return by_space(
            await self._database.fetch(
                """
                SELECT space_id, connection_id FROM (
                    SELECT c.space_id, c.connection_id FROM registry.connection c
                     WHERE c.ended_at IS NULL AND c.lease_until < to_timestamp($1)
                    UNION
                    SELECT c.space_id, c.connection_id
                      FROM registry.gateway g JOIN registry.connection c USING (gateway_id)
                     WHERE c.ended_at IS NULL AND g.lease_until < to_timestamp($1)
                ) AS silent ORDER BY space_id, connection_id LIMIT $2
                """,
                at_s,
                limit,
            )
        )

    async def still_expired(
        self, tx: Transaction, connection_ids: Sequence[str], at_s: float
    ) -> list[str]:
        """Those of some connections that are live and silent, locked."""
        rows = await tx.fetch(
            """
            SELECT c.connection_id
              FROM registry.connection c LEFT JOIN registry.gateway g USING (gateway_id)
             WHERE c.connection_id = ANY ($1) AND c.ended_at IS NULL
               AND (c.lease_until < to_timestamp($2) OR g.lease_until < to_timestamp($2))
             ORDER BY c.connection_id FOR NO KEY UPDATE OF c
            """,
            list(connection_ids),
            at_s,
        )
        return [row["connection_id"] for row in rows]

    async def forget(self, keep_days: int) -> None:
        """Drops what ended long ago."""
        await self._database.execute(
            """
            DELETE FROM registry.connection
             WHERE ended_at < clock_timestamp() - make_interval(days => $1)
            """,
            keep_days,
        )
        await self._database.execute(
            """
            DELETE FROM registry.gateway g
             WHERE g.lease_until < clock_timestamp() - make_interval(days => $1) AND NOT EXISTS
                   (SELECT 1 FROM registry.connection c WHERE c.gateway_id = g.gateway_id)
            """,
            keep_days,
        )
