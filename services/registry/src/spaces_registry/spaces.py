"""Handlers of spaces."""

from collections.abc import Sequence

import asyncpg

from spaces_chassis.database import Connection as Transaction
from spaces_chassis.errors import ProblemError
from spaces_contracts.access import Principal
from spaces_contracts.files import InputKind
from spaces_contracts.identifiers import new_id
from spaces_contracts.message import Done
from spaces_contracts.permissions import maker_of, sight_of
from spaces_contracts.problems import Code
from spaces_contracts.spaces import (
    CheckSpaces,
    CreateSpace,
    DeleteSpace,
    GetSpace,
    ListSpaces,
    SetCover,
    Space,
    SpaceAudiences,
    SpaceList,
    SpaceReply,
    UpdateSpace,
)
from spaces_registry.actors import chosen_tenant, tenant_not_found
from spaces_registry.endings import Endings, Reason
from spaces_registry.hints import Hints
from spaces_registry.naming import space_not_found
from spaces_registry.space_finder import SpaceFinder, require_seen
from spaces_registry.stores import Stores


class Spaces:
    """Spaces and the rules they keep."""

    def __init__(self, stores: Stores, endings: Endings, hints: Hints) -> None:
        self._database = stores.database
        self._spaces = stores.spaces
        self._access = stores.access
        self._connections = stores.connections
        self._finder = SpaceFinder(stores.spaces)
        self._endings = endings
        self._hints = hints

    async def create(self, command: CreateSpace) -> SpaceReply:
        """Makes the space and its lane at the scheduler, or neither."""
        tenant_id = chosen_tenant(command.actor, command.tenant_id)
        tenants = await self._access.tenants(tenant_id)
        if not tenants:
            raise tenant_not_found()
        now = tenants[0].created_at
        space = Space(
            space_id=new_id(),
            tenant_id=tenant_id,
            tenant_name=tenants[0].name,
            name=command.name,
            description=command.description,
            enabled=command.enabled,
            inputs=_inputs(command.inputs),
            policy=command.policy,
            visibility=command.visibility,
            created_by=maker_of(command.actor),
            created_at=now,
            updated_at=now,
        )
        async with self._database.transaction() as tx:
            if not await self._spaces.add(tx, space):
                raise _name_taken(command.name)
        await self._hints.space_changed(space)
        return await self._reply(space.space_id)

    async def get(self, command: GetSpace) -> SpaceReply:
        """Finds a space by id, name or tenant/name."""
        found = await self._finder.find(command.actor, command.ref)
        return await self._reply(found.space_id)

    async def list(self, command: ListSpaces) -> SpaceList:
        """One page, oldest first."""
        page = await self._spaces.page(
            sight_of(command.actor),
            name=command.name,
            after=command.cursor,
            limit=command.limit + 1,
        )
        shown = page[: command.limit]
        return SpaceList(
            spaces=shown, next_cursor=shown[-1].space_id if len(page) > len(shown) else None
        )

    async def update(self, command: UpdateSpace) -> SpaceReply:
        """Changes what is given. Disabling ends the workers' connections."""
        try:
            async with self._database.transaction() as tx:
                before = await self._locked(tx, command.actor, command.space_id)
                after = before.model_copy(update=_changes(command))
                await self._spaces.change(tx, after)
                drained = await self._drain_surplus(tx, after)
        except asyncpg.UniqueViolationError:
            raise _name_taken(command.name or "") from None
        await self._hints.space_changed(after)
        for route in drained:
            await self._hints.drain(route)
        if before.enabled and not after.enabled:
            await self._endings.end_of_space(command.space_id, Reason.SPACE_DISABLED)
        return await self._reply(command.space_id)

    async def set_cover(self, command: SetCover) -> SpaceReply:
        """The picture is stored before this, and one that was replaced is removed after it."""
        async with self._database.transaction() as tx:
            space = await self._locked(tx, command.actor, command.space_id)
            await self._spaces.set_cover(tx, command.space_id, command.cover)
        await self._hints.space_changed(space)
        return await self._reply(command.space_id)

    async def check(self, command: CheckSpaces) -> SpaceAudiences:
        """For a gateway that may have missed a change."""
        return SpaceAudiences(spaces=await self._spaces.audiences(command.space_ids))

    async def delete(self, command: DeleteSpace) -> Done:
        """Ends the workers' connections; the scheduler cancels what is queued or running."""
        async with self._database.transaction() as tx:
            space = await self._locked(tx, command.actor, command.space_id)
            request_ids = await self._spaces.delete(tx, command.space_id)
        await self._hints.space_changed(space)
        await self._hints.announce(request_ids)
        await self._endings.end_of_space(command.space_id, Reason.SPACE_DELETED)
        return Done()

    async def _locked(self, tx: Transaction, actor: Principal, space_id: str) -> Space:
        return require_seen(actor, await self._spaces.lock(tx, space_id), space_id)

    async def _drain_surplus(self, tx: Transaction, space: Space) -> Sequence[str]:
        """Workers above a lowered max_connections finish what they have; returns their routes."""
        surplus = [
            one.connection_id
            for one in await self._connections.seated(tx, space.space_id)
            if one.seat >= space.policy.max_connections
        ]
        routes = [await self._connections.drain(tx, one) for one in sorted(surplus)]
        return [route for route in routes if route is not None]

    async def _reply(self, space_id: str) -> SpaceReply:
        space = await self._spaces.space(space_id)
        if space is None:
            raise ProblemError(space_not_found(space_id))
        return SpaceReply(space=space)


def _changes(command: UpdateSpace) -> dict[str, object]:
    changes = {
        "name": command.name,
        "description": command.description,
        "enabled": command.enabled,
        "inputs": None if command.inputs is None else _inputs(command.inputs),
        "policy": command.policy,
        "visibility": command.visibility,
    }
    return {field: value for field, value in changes.items() if value is not None}


def _inputs(kinds: Sequence[InputKind]) -> list[InputKind]:
    if not kinds:
        raise ProblemError.of(Code.INVALID_REQUEST, "A space takes at least one kind of input")
    return sorted(set(kinds), key=tuple(InputKind).index)


def _name_taken(name: str) -> ProblemError:
    return ProblemError.of(Code.SPACE_NAME_TAKEN, f"A space {name!r} exists already in this tenant")
