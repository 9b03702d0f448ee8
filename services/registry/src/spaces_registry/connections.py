"""Handlers of live connections: how they end, what operators do with them, how they are listed."""

from collections.abc import Sequence

from spaces_chassis.bus import Delivery
from spaces_chassis.errors import ProblemError
from spaces_contracts.access import Principal
from spaces_contracts.connections import (
    ConnectionDraining,
    ConnectionEnded,
    ConnectionList,
    ConnectionSuspected,
    ControlAction,
    ControlConnection,
    ListConnections,
    WorkerBye,
    WorkerDraining,
)
from spaces_contracts.message import Done
from spaces_contracts.permissions import sight_of
from spaces_contracts.problems import Code
from spaces_registry.actors import sees_space
from spaces_registry.endings import Endings, Reason
from spaces_registry.hints import Hints
from spaces_registry.lease_store import SOCKET_LOST, UNREACHABLE
from spaces_registry.leases import lease_left_s
from spaces_registry.meters import Meters
from spaces_registry.space_finder import require_seen
from spaces_registry.stores import Stores


class Connections:
    """What happens to connections between attach and death."""

    def __init__(self, stores: Stores, endings: Endings, hints: Hints, meters: Meters) -> None:
        self._database = stores.database
        self._spaces = stores.spaces
        self._connections = stores.connections
        self._leases = stores.leases
        self._endings = endings
        self._hints = hints
        self._suspicions = {
            cause: meters.suspicions.labels(cause) for cause in (SOCKET_LOST, UNREACHABLE)
        }

    async def ended(self, command: ConnectionEnded) -> Done:
        """Clean: the seat is free at once. Otherwise the worker has its lease to come back."""
        if command.clean:
            for space_id, ids in await self._connections.spaces_of(command.connection_ids):
                await self._endings.end(space_id, ids, Reason.LEFT)
        else:
            lease_s = lease_left_s(command.silent_s)
            await self._suspect(command.connection_ids, SOCKET_LOST, lease_s)
        return Done()

    async def suspected(self, message: ConnectionSuspected, _delivery: Delivery) -> None:
        """Somebody could not reach these."""
        await self._suspect(message.connection_ids, UNREACHABLE, lease_left_s(message.silent_s))

    async def draining(self, command: ConnectionDraining) -> Done:
        """Their agent is about to stop, and knows: nobody has to tell it."""
        for space_id, ids in await self._connections.spaces_of(command.connection_ids):
            for connection_id in ids:
                await self._drain(space_id, connection_id)
        return Done()

    async def worker_draining(self, message: WorkerDraining, _delivery: Delivery) -> None:
        """A direct worker is about to stop."""
        await self._drain(message.space_id, message.connection_id)

    async def bye(self, message: WorkerBye, _delivery: Delivery) -> None:
        """A direct worker left and holds nothing."""
        await self._endings.end(message.space_id, [message.connection_id], Reason.LEFT)

    async def control(self, command: ControlConnection) -> Done:
        """Drains or kicks."""
        space_id = await self._controlled(command.actor, command)
        if command.action is ControlAction.KICK:
            if not await self._endings.end(space_id, [command.connection_id], Reason.KICKED):
                raise _not_found()
            return Done()
        route = await self._drain(space_id, command.connection_id)
        if route is None:
            raise _not_found()
        await self._hints.drain(route)
        return Done()

    async def list(self, command: ListConnections) -> ConnectionList:
        """Live ones, newest first."""
        actor = command.actor
        if command.space_id is not None:
            require_seen(actor, await self._spaces.space(command.space_id), command.space_id)
        found = await self._connections.listed(sight_of(actor), command.space_id)
        return ConnectionList(connections=found)

    async def _drain(self, space_id: str, connection_id: str) -> str | None:
        async with self._database.transaction() as tx:
            await self._connections.lock_space(tx, space_id)
            return await self._connections.drain(tx, connection_id)

    async def _suspect(self, connection_ids: Sequence[str], cause: str, lease_s: float) -> None:
        count = await self._leases.suspect(connection_ids, cause, lease_s)
        self._suspicions[cause].inc(count)

    async def _controlled(self, actor: Principal, command: ControlConnection) -> str:
        """The space of a connection that the actor may control."""
        row = await self._connections.owner(command.connection_id)
        if row is None or not row["live"]:
            raise _not_found()
        space_id: str = row["space_id"]
        if not sees_space(actor, space_id, row["tenant_id"], row["private_to"]):
            raise _not_found()
        return space_id


def _not_found() -> ProblemError:
    return ProblemError.of(Code.CONNECTION_NOT_FOUND, "No such live connection")
