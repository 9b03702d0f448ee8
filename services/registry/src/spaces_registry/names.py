"""Handlers of names: what an actor may know, by the same rules as the things themselves."""

from spaces_contracts.names import GetNames, ListPrincipals, Names, PrincipalIds
from spaces_contracts.permissions import sight_of
from spaces_registry.actors import tenant_filter
from spaces_registry.name_store import NameStore


class NameBook:
    """What things are called."""

    def __init__(self, store: NameStore) -> None:
        self._store = store

    async def get(self, command: GetNames) -> Names:
        """What does not exist for the actor is left out."""
        tenant_id, sight = tenant_filter(command.actor), sight_of(command.actor)
        spaces, principals, workers = (
            command.space_ids,
            command.principal_ids,
            command.connection_ids,
        )
        return Names(
            spaces=await self._store.spaces(spaces, sight) if spaces else [],
            principals=await self._store.principals(principals, tenant_id) if principals else [],
            workers=await self._store.workers(workers, sight) if workers else [],
        )

    async def find_principals(self, command: ListPrincipals) -> PrincipalIds:
        """None of somebody who does not exist for the actor."""
        found = await self._store.principals_of(command.who, tenant_filter(command.actor))
        return PrincipalIds(principal_ids=found)
