"""All SQL on direct workers' sessions with the broker."""

from collections.abc import Sequence

from spaces_chassis.database import Database

# Rights last a day; a session is gone after that.
_KEEP_DAYS = 2


class SessionStore:
    """Which session at which of the broker's servers belongs to a connection."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def note(self, connection_id: str, server_id: str, client_id: int) -> None:
        """The connection's worker dialled; a later session replaces an earlier one."""
        await self._database.execute(
            """
            INSERT INTO registry.session (connection_id, server_id, client_id) VALUES ($1, $2, $3)
            ON CONFLICT (connection_id) DO UPDATE
               SET server_id = excluded.server_id, client_id = excluded.client_id,
                   since = clock_timestamp()
            """,
            connection_id,
            server_id,
            client_id,
        )

    async def take(self, connection_ids: Sequence[str]) -> list[tuple[str, int]]:
        """Server and client ids of some connections' sessions, which are forgotten."""
        rows = await self._database.fetch(
            """
            DELETE FROM registry.session WHERE connection_id = ANY ($1)
            RETURNING server_id, client_id
            """,
            list(connection_ids),
        )
        return [(row["server_id"], row["client_id"]) for row in rows]

    async def forget(self) -> None:
        """Drops sessions that are over."""
        await self._database.execute(
            """
            DELETE FROM registry.session
             WHERE since < clock_timestamp() - make_interval(days => $1)
            """,
            _KEEP_DAYS,
        )
