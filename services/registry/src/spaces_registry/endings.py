"""How connections end: one transaction a space takes the seats back and releases their requests."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from spaces_chassis.database import Connection as Transaction
from spaces_contracts.problems import Code, Problem
from spaces_registry.hints import Hints
from spaces_registry.meters import Meters
from spaces_registry.presence import Presence
from spaces_registry.sessions import Sessions
from spaces_registry.stores import Stores

# Ends in one transaction; more are done in the next one.
MAX_ENDS = 500


class Reason(StrEnum):
    """Why a connection ended; kept in its row."""

    LEFT = "left"
    SUPERSEDED = "superseded"
    KICKED = "kicked"
    LEASE_LOST = "lease_lost"
    TOKEN_REVOKED = "token_revoked"
    SPACE_DISABLED = "space_disabled"
    SPACE_DELETED = "space_deleted"

    @property
    def farewell(self) -> Problem | None:
        """What the worker is told; None when it left by itself."""
        return _FAREWELLS.get(self)


_FAREWELLS = {
    Reason.SUPERSEDED: Problem(
        code=Code.SUPERSEDED, message="Another worker took this connection's place"
    ),
    Reason.KICKED: Problem(code=Code.KICKED, message="An operator ended this connection"),
    Reason.LEASE_LOST: Problem(
        code=Code.HEARTBEAT_TIMEOUT, message="Nothing was heard from this connection"
    ),
    Reason.TOKEN_REVOKED: Problem(
        code=Code.TOKEN_REVOKED, message="The worker token of this connection was revoked"
    ),
    Reason.SPACE_DISABLED: Problem(code=Code.SPACE_DISABLED, message="The space was disabled"),
    Reason.SPACE_DELETED: Problem(code=Code.SPACE_NOT_FOUND, message="The space was deleted"),
}

# After these a worker has no business on the broker; after the others it may come back.
_FINAL = frozenset(
    {Reason.KICKED, Reason.TOKEN_REVOKED, Reason.SPACE_DISABLED, Reason.SPACE_DELETED}
)


@dataclass
class Ended:
    """What to tell after the COMMIT."""

    space_id: str
    reason: Reason
    connection_ids: list[str] = field(default_factory=list)
    routes: list[str] = field(default_factory=list)
    request_ids: list[str] = field(default_factory=list)


class Endings:
    """Ends connections for whatever reason, and tells whom it concerns."""

    def __init__(
        self,
        stores: Stores,
        hints: Hints,
        presence: Presence,
        sessions: Sessions,
        meters: Meters,
    ) -> None:
        self._database = stores.database
        self._connections = stores.connections
        self._hints = hints
        self._presence = presence
        self._sessions = sessions
        self._ends = {reason: meters.ends.labels(reason.value) for reason in Reason}

    async def end(self, space_id: str, connection_ids: Sequence[str], reason: Reason) -> int:
        """Ends those of a space's connections that are live; returns how many that were."""
        count = 0
        for start in range(0, len(connection_ids), MAX_ENDS):
            async with self._database.transaction() as tx:
                await self._connections.lock_space(tx, space_id)
                ended = await self.end_in(
                    tx, space_id, connection_ids[start : start + MAX_ENDS], reason
                )
            await self.tell(ended)
            count += len(ended.routes)
        return count

    async def end_in(
        self, tx: Transaction, space_id: str, connection_ids: Sequence[str], reason: Reason
    ) -> Ended:
        """Like `end`, as a part of a transaction that has locked the space."""
        rows = await self._connections.end(tx, space_id, connection_ids, reason)
        ended = Ended(
            space_id,
            reason,
            connection_ids=[row["connection_id"] for row in rows],
            routes=[row["route"] for row in rows],
        )
        if rows:
            ended.request_ids = await self._connections.release(tx, ended.connection_ids)
        return ended

    async def tell(self, ended: Ended) -> None:
        """After the COMMIT: close the sockets, look at the requests, show the presence."""
        farewell = ended.reason.farewell
        if farewell is not None:
            for route in ended.routes:
                await self._hints.kick(route, farewell)
        await self._hints.announce(ended.request_ids)
        if ended.reason in _FINAL and ended.routes:
            await self._sessions.cut(ended.connection_ids)
        if ended.routes:
            self._ends[ended.reason].inc(len(ended.routes))
            self._presence.changed(ended.space_id)

    async def end_of_principal(self, principal_id: str, reason: Reason) -> None:
        """Ends all connections that came with a credential."""
        for space_id, ids in await self._connections.live_of_principal(principal_id):
            await self.end(space_id, ids, reason)

    async def end_of_space(self, space_id: str, reason: Reason) -> None:
        """Ends all connections of a space."""
        await self.end(space_id, await self._connections.live_of_space(space_id), reason)
