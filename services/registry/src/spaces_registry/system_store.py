"""All SQL on the platform's processes and on the database itself."""

import time
from collections.abc import Sequence

import asyncpg

from spaces_chassis.database import Database
from spaces_contracts.connections import LEASE_S
from spaces_contracts.system import SILENT_AFTER_S, DatabaseFacts, Replica, ReplicaState

# What was silent for longer is not shown, and then forgotten; who said goodbye is not missed for long.
SHOWN_FOR_S = 86_400.0
_LEFT_FOR_S = 60.0


class SystemStore:
    """Which processes live."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def heard(
        self,
        service: str,
        replica_id: str,
        version: str,
        failing: Sequence[str],
        *,
        leaving: bool = False,
    ) -> None:
        """A process says that it lives, or that it stops."""
        await self._database.execute(
            """
            INSERT INTO registry.replica AS r (replica_id, service, version, failing, leaving)
            VALUES ($1, $2, $3, $4, $5)
            ON CONFLICT (replica_id) DO UPDATE
               SET heard_at = clock_timestamp(), version = excluded.version, failing = excluded.failing,
                   leaving = excluded.leaving
            """,
            replica_id,
            service,
            version,
            list(failing),
            leaving,
        )

    async def forget(self) -> None:
        """Drops what is not shown any more."""
        await self._database.execute(
            "DELETE FROM registry.replica WHERE heard_at < clock_timestamp() - make_interval(secs => $1)",
            SHOWN_FOR_S,
        )

    async def replicas(self) -> list[Replica]:
        """Every process that was heard of within a day; gateways by their lease."""
        rows = await self._database.fetch(
            """
            SELECT *, extract(epoch FROM clock_timestamp() - heard_at)::float8 AS silent_s FROM (
                SELECT service, replica_id, version, since, heard_at, failing, leaving,
                       NULL::integer AS connections
                  FROM registry.replica
                UNION ALL
                SELECT 'gateway', gateway_id, version, since, lease_until - make_interval(secs => $1),
                       '{}', leaving, connections
                  FROM registry.gateway
            ) AS known
             WHERE heard_at > clock_timestamp()
                            - make_interval(secs => CASE WHEN leaving THEN $3::float8 ELSE $2::float8 END)
             ORDER BY service, since, replica_id
            """,
            LEASE_S,
            SHOWN_FOR_S,
            _LEFT_FOR_S,
        )
        return [_replica(row) for row in rows]

    async def database(self) -> DatabaseFacts:
        """How the database is, and how soon it answered this."""
        began = time.perf_counter()
        row = await self._database.fetchrow(
            """
            SELECT current_setting('server_version') AS version, pg_postmaster_start_time() AS since,
                   pg_database_size(current_database()) AS size_bytes, pg_is_in_recovery() AS in_recovery,
                   (SELECT sum(numbackends)::int FROM pg_stat_database) AS connections,
                   current_setting('max_connections')::int AS max_connections
            """
        )
        answer_ms = (time.perf_counter() - began) * 1000
        assert row is not None, "a row without a table"
        return DatabaseFacts(answer_ms=round(answer_ms, 2), **dict(row))


def _replica(row: asyncpg.Record) -> Replica:
    state = ReplicaState.LIVE
    if row["leaving"]:
        state = ReplicaState.LEAVING
    elif row["silent_s"] > SILENT_AFTER_S:
        state = ReplicaState.SILENT
    elif row["failing"]:
        state = ReplicaState.FAILING
    fields = {name: value for name, value in row.items() if name not in ("leaving", "silent_s")}
    return Replica(state=state, **fields)
