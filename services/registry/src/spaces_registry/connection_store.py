"""All SQL on connections, except their leases. The scheduler's side changes in the same transactions."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import asyncpg

from spaces_chassis.database import Connection as Transaction
from spaces_chassis.database import Database
from spaces_contracts.access import Sight
from spaces_contracts.connections import (
    LEASE_S,
    AgentInfo,
    Attempt,
    Connection,
    ConnectionState,
    InFlight,
)
from spaces_registry.leases import DOUBTED_GATEWAY_LEASE_S, DOUBTED_LEASE_S, doubtful
from spaces_registry.seats import Seated
from spaces_registry.sight_sql import seen

# As many as fit in one message.
_LISTED = 2000

# What is left of a connection's own lease and of its gateway's, in seconds.
LEASES_LEFT = """
    extract(epoch FROM c.lease_until - clock_timestamp())::float8 AS lease_left_s,
    extract(epoch FROM g.lease_until - clock_timestamp())::float8 AS gateway_left_s
"""


@dataclass(frozen=True)
class NewConnection:
    """A row to write."""

    connection_id: str
    space_id: str
    principal_id: str
    gateway_id: str | None
    instance_id: str
    instance_secret_sha256: str
    route: str
    slots: int
    agent: AgentInfo
    seat: int


@dataclass(frozen=True)
class Adoption:
    """What the scheduler says about the requests that an agent still holds."""

    adopted: list[Attempt]
    abandon: list[Attempt]
    announce: list[str]


class ConnectionStore:
    """Connections in PostgreSQL. Methods that take a transaction need the space locked in it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def lock_space(self, tx: Transaction, space_id: str) -> None:
        """The first lock of every transaction on connections, deleted spaces included."""
        await tx.execute(
            "SELECT 1 FROM registry.space WHERE space_id = $1 FOR NO KEY UPDATE", space_id
        )

    async def seated(self, tx: Transaction, space_id: str) -> list[Seated]:
        """Who holds the seats of a space."""
        rows = await tx.fetch(
            f"""
            SELECT c.connection_id, c.seat, c.epoch, c.instance_id, c.instance_secret_sha256,
                   c.draining, c.suspect_since, {LEASES_LEFT}
              FROM registry.connection c LEFT JOIN registry.gateway g USING (gateway_id)
             WHERE c.space_id = $1 AND c.ended_at IS NULL ORDER BY c.seat
            """,
            space_id,
        )
        return [
            Seated(
                connection_id=row["connection_id"],
                seat=row["seat"],
                epoch=row["epoch"],
                instance_id=row["instance_id"],
                instance_secret_sha256=row["instance_secret_sha256"],
                leaving=state_of(row) is not ConnectionState.LIVE,
            )
            for row in rows
        ]

    async def used(self, tx: Transaction, connection_id: str) -> bool:
        """Whether the id was ever given to a connection."""
        found = await tx.fetchval(
            "SELECT true FROM registry.connection WHERE connection_id = $1", connection_id
        )
        return bool(found)

    async def token_revoked(self, tx: Transaction, principal_id: str) -> bool:
        """Whether the token was revoked while its worker waited for the lock."""
        found = await tx.fetchval(
            "SELECT revoked_at IS NOT NULL FROM registry.principal WHERE principal_id = $1",
            principal_id,
        )
        return bool(found)

    async def add(self, tx: Transaction, new: NewConnection, lease_s: float) -> int:
        """Takes the seat and the space's next epoch, which it returns."""
        epoch: int = await tx.fetchval(
            """
            UPDATE registry.space SET last_epoch = last_epoch + 1 WHERE space_id = $1
            RETURNING last_epoch
            """,
            new.space_id,
        )
        await tx.execute(
            """
            INSERT INTO registry.connection (connection_id, space_id, principal_id, gateway_id, instance_id,
                instance_secret_sha256, route, slots, agent, seat, epoch, lease_until)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9::jsonb, $10, $11,
                CASE WHEN $4::text IS NULL THEN clock_timestamp() + make_interval(secs => $12) END)
            """,
            new.connection_id,
            new.space_id,
            new.principal_id,
            new.gateway_id,
            new.instance_id,
            new.instance_secret_sha256,
            new.route,
            new.slots,
            new.agent.model_dump_json(),
            new.seat,
            epoch,
            lease_s,
        )
        return epoch

    async def refresh(self, tx: Transaction, again: NewConnection, lease_s: float) -> None:
        """The attach of a live connection came twice: what it said last counts."""
        await tx.execute(
            """
            UPDATE registry.connection
               SET slots = $2, agent = $3::jsonb, suspect_since = NULL, suspect_cause = NULL,
                   lease_until = CASE WHEN gateway_id IS NULL
                                      THEN clock_timestamp() + make_interval(secs => $4) END
             WHERE connection_id = $1
            """,
            again.connection_id,
            again.slots,
            again.agent.model_dump_json(),
            lease_s,
        )

    async def adopt(
        self,
        tx: Transaction,
        new: NewConnection,
        in_flight: Sequence[InFlight],
        supersedes: Sequence[str],
    ) -> Adoption:
        """Tells the scheduler of the connection and what its agent holds."""
        held = [
            {"request_id": one.request_id, "attempt": one.attempt, "finished": one.finished}
            for one in in_flight
            if one.space_id == new.space_id
        ]
        rows = await tx.fetch(
            """
            SELECT kind, request_id, attempt
              FROM scheduler.attach($1, $2, $3, $4, $5, $6::jsonb, $7)
            """,
            new.space_id,
            new.connection_id,
            new.instance_id,
            new.route,
            new.slots,
            json.dumps(held),
            list(supersedes),
        )
        return Adoption(
            adopted=[_attempt(row) for row in rows if row["kind"] == "adopted"],
            abandon=[_attempt(row) for row in rows if row["kind"] == "abandon"],
            announce=[row["request_id"] for row in rows if row["kind"] == "announce"],
        )

    async def end(
        self, tx: Transaction, space_id: str, connection_ids: Sequence[str], reason: str
    ) -> list[asyncpg.Record]:
        """Ends those that are live; their ids and routes."""
        return await tx.fetch(
            """
            WITH live AS (
                SELECT connection_id FROM registry.connection
                 WHERE space_id = $1 AND connection_id = ANY ($2) AND ended_at IS NULL
                 ORDER BY connection_id FOR NO KEY UPDATE)
            UPDATE registry.connection c SET ended_at = clock_timestamp(), reason = $3
              FROM live WHERE c.connection_id = live.connection_id
            RETURNING c.connection_id, c.route
            """,
            space_id,
            list(connection_ids),
            reason,
        )

    async def release(self, tx: Transaction, connection_ids: Sequence[str]) -> list[str]:
        """The scheduler takes back what ended connections had; returns requests to announce."""
        rows = await tx.fetch(
            "SELECT request_id FROM scheduler.detach($1) AS request_id", list(connection_ids)
        )
        return [row["request_id"] for row in rows]

    async def drain(self, tx: Transaction, connection_id: str) -> str | None:
        """Nothing new goes to the connection; its route, None when it is not live."""
        route: str | None = await tx.fetchval(
            """
            UPDATE registry.connection SET draining = true
             WHERE connection_id = $1 AND ended_at IS NULL RETURNING route
            """,
            connection_id,
        )
        if route is not None:
            await tx.execute("SELECT scheduler.connection_drain($1)", connection_id)
        return route

    async def live_of_space(self, space_id: str) -> list[str]:
        """Ids of a space's live connections."""
        rows = await self._database.fetch(
            "SELECT connection_id FROM registry.connection WHERE space_id = $1 AND ended_at IS NULL",
            space_id,
        )
        return [row["connection_id"] for row in rows]

    async def live_of_principal(self, principal_id: str) -> list[tuple[str, list[str]]]:
        """Ids of the live connections that came with a credential, by space."""
        return by_space(
            await self._database.fetch(
                """
                SELECT space_id, connection_id FROM registry.connection
                 WHERE principal_id = $1 AND ended_at IS NULL ORDER BY space_id, connection_id
                """,
                principal_id,
            )
        )

    async def spaces_of(self, connection_ids: Sequence[str]) -> list[tuple[str, list[str]]]:
        """Those of some connections that are live, by space."""
        return by_space(
            await self._database.fetch(
                """
                SELECT space_id, connection_id FROM registry.connection
                 WHERE connection_id = ANY ($1) AND ended_at IS NULL ORDER BY space_id, connection_id
                """,
                list(connection_ids),
            )
        )

    async def orphans(self, limit: int) -> list[tuple[str, list[str], str]]:
        """Live connections that must not be: of a dead space or a revoked token, with which of the two.

        Nobody is there only when a process died between a commit and what should have followed it.
        """
        rows = await self._database.fetch(
            """
            SELECT c.space_id, c.connection_id,
                   CASE WHEN s.deleted_at IS NOT NULL THEN 'space_deleted'
                        WHEN NOT s.enabled THEN 'space_disabled' ELSE 'token_revoked' END AS reason
              FROM registry.connection c
              JOIN registry.space s USING (space_id) JOIN registry.principal p USING (principal_id)
             WHERE c.ended_at IS NULL
               AND (s.deleted_at IS NOT NULL OR NOT s.enabled OR p.revoked_at IS NOT NULL
                    OR p.expires_at <= clock_timestamp())
             ORDER BY c.space_id, reason, c.connection_id LIMIT $1
            """,
            limit,
        )
        groups = groupby(rows, key=lambda row: (row["space_id"], row["reason"]))
        return [
            (space_id, [row["connection_id"] for row in group], reason)
            for (space_id, reason), group in groups
        ]

    async def counts(self, space_ids: Sequence[str]) -> dict[str, int]:
        """Live connections of some spaces."""
        rows = await self._database.fetch(
            """
            SELECT wanted.space_id, count(c.connection_id) AS live
              FROM unnest($1::text[]) AS wanted (space_id)
              LEFT JOIN registry.connection c ON c.space_id = wanted.space_id AND c.ended_at IS NULL
             GROUP BY wanted.space_id
            """,
            list(space_ids),
        )
        return {row["space_id"]: row["live"] for row in rows}

    async def states(self) -> dict[ConnectionState, int]:
        """Live connections by state, for the metrics."""
        row = await self._database.fetchrow(
            """
            SELECT count(*) FILTER (WHERE doubted) AS suspect,
                   count(*) FILTER (WHERE NOT doubted AND draining) AS draining,
                   count(*) FILTER (WHERE NOT doubted AND NOT draining) AS live
              FROM (SELECT c.draining, c.suspect_since IS NOT NULL
                        OR coalesce(c.lease_until < clock_timestamp() + make_interval(secs => $1), false)
                        OR coalesce(g.lease_until < clock_timestamp() + make_interval(secs => $2), false)
                        AS doubted
                      FROM registry.connection c LEFT JOIN registry.gateway g USING (gateway_id)
                     WHERE c.ended_at IS NULL) AS connections
            """,
            DOUBTED_LEASE_S,
            DOUBTED_GATEWAY_LEASE_S,
        )
        return {ConnectionState(state): count for state, count in dict(row or {}).items()}

    async def listed(self, sight: Sight, space_id: str | None) -> list[Connection]:
        """The newest live connections of the spaces in sight, or of one of them."""
        rows = await self._database.fetch(
            f"""
            SELECT c.*, coalesce(c.lease_until, g.lease_until) - make_interval(secs => $4) AS heard_at, {LEASES_LEFT}
              FROM registry.connection c JOIN registry.space s USING (space_id)
              LEFT JOIN registry.gateway g USING (gateway_id)
             WHERE c.ended_at IS NULL
               AND {seen("$1", "$5")}
               AND ($2::text IS NULL OR c.space_id = $2)
             ORDER BY c.since DESC, c.connection_id DESC LIMIT $3
            """,
            sight.tenant_id,
            space_id,
            _LISTED,
            LEASE_S,
            sight.makers,
        )
        return [_connection(row) for row in rows]

    async def owner(self, connection_id: str) -> asyncpg.Record | None:
        """Space, its tenant and audience, credential and liveness of a connection, ended ones too."""
        return await self._database.fetchrow(
            """
            SELECT c.space_id, s.tenant_id, c.principal_id, c.ended_at IS NULL AS live,
                   CASE WHEN s.visibility = 'private' THEN coalesce(s.created_by, '') END AS private_to
              FROM registry.connection c JOIN registry.space s USING (space_id)
             WHERE c.connection_id = $1
            """,
            connection_id,
        )


def by_space(rows: Sequence[asyncpg.Record]) -> list[tuple[str, list[str]]]:
    """Connection ids grouped by space; the rows come in the order of their spaces."""
    return [
        (space_id, [row["connection_id"] for row in group])
        for space_id, group in groupby(rows, key=lambda row: row["space_id"])
    ]


def state_of(row: asyncpg.Record) -> ConnectionState:
    """The state of a live row that was read with its leases. Doubt outweighs draining."""
    left, gateway_left = row["lease_left_s"], row["gateway_left_s"]
    if row["suspect_since"] is not None or doubtful(left, gateway_left):
        return ConnectionState.SUSPECT
    return ConnectionState.DRAINING if row["draining"] else ConnectionState.LIVE


def _attempt(row: asyncpg.Record) -> Attempt:
    return Attempt(request_id=row["request_id"], attempt=row["attempt"])


def _connection(row: asyncpg.Record) -> Connection:
    return Connection(
        connection_id=row["connection_id"],
        space_id=row["space_id"],
        state=state_of(row),
        seat=row["seat"],
        epoch=row["epoch"],
        slots=row["slots"],
        instance_id=row["instance_id"],
        agent=AgentInfo.model_validate(json.loads(row["agent"])),
        gateway_id=row["gateway_id"],
        since=row["since"],
        heard_at=row["heard_at"],
    )
