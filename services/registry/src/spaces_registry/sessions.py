"""Cuts direct workers off the broker: their rights there outlive their connection by up to a day."""

import json
from collections.abc import Sequence
from contextlib import suppress

from spaces_chassis.bus import Bus
from spaces_chassis.database import Database
from spaces_chassis.errors import UnavailableError

# Rights last a day; a session is gone after that.
_KEEP_DAYS = 2
_ANSWER_WITHIN_S = 1.0


class Sessions:
    """Which session at which of the broker's servers belongs to a connection."""

    def __init__(self, database: Database, bus: Bus, system: Bus | None) -> None:
        """`system` is a bus of the broker's system account; without one nobody is cut off."""
        self._database = database
        self._bus = bus
        self._system = system

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

    async def cut(self, connection_ids: Sequence[str]) -> None:
        """Ends the sessions of connections that must not speak any more."""
        if self._system is None:
            return
        rows = await self._database.fetch(
            """
            DELETE FROM registry.session WHERE connection_id = ANY ($1)
            RETURNING server_id, client_id
            """,
            list(connection_ids),
        )
        with suppress(UnavailableError):
            # The worker's farewell goes on another connection and must be first.
            await self._bus.flush()
        for row in rows:
            subject = f"$SYS.REQ.SERVER.{row['server_id']}.KICK"
            body = json.dumps({"cid": row["client_id"]}).encode()
            # The server ignores who does not ask for an answer; one that is gone has no sessions.
            with suppress(UnavailableError):
                await self._system.request_bytes(subject, body, timeout_s=_ANSWER_WITHIN_S)

    async def forget(self) -> None:
        """Drops sessions that are over."""
        await self._database.execute(
            "DELETE FROM registry.session WHERE since < clock_timestamp() - make_interval(days => $1)",
            _KEEP_DAYS,
        )
