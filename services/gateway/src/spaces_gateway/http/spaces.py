"""Spaces: make, read, change, remove; their queue and their workers."""

from typing import Annotated, Any

from fastapi import Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from spaces_contracts.access import Principal
from spaces_contracts.connections import ConnectionList, ListConnections
from spaces_contracts.files import InputKind
from spaces_contracts.identifiers import Name, TenantId
from spaces_contracts.problems import Code
from spaces_contracts.requests import GetQueues, Queue
from spaces_contracts.spaces import (
    CreateSpace,
    DeleteSpace,
    GetSpace,
    ListSpaces,
    Space,
    SpaceList,
    SpacePolicy,
    UpdateSpace,
    Visibility,
)
from spaces_gateway.http import examples
from spaces_gateway.http.operations import Operations
from spaces_gateway.http.paths import SpaceRef, space_ref
from spaces_gateway.http.principals import Caller
from spaces_gateway.http.text import Text
from spaces_gateway.services import Services

_VISIBILITY = "Who sees it: all of the tenant, or its maker, the tenant's owners and admins."


class NewSpace(BaseModel):
    """A space to make."""

    model_config = ConfigDict(extra="forbid")

    name: Name
    tenant_id: TenantId | None = Field(default=None, description="For admins; else one's own.")
    description: Annotated[str, Text] = Field(default="", max_length=2000)
    inputs: list[InputKind] = Field(default=[InputKind.PROMPT], max_length=5)
    policy: SpacePolicy = SpacePolicy()
    enabled: bool = True
    visibility: Visibility = Field(default=Visibility.TENANT, description=_VISIBILITY)


class SpaceChange(BaseModel):
    """What to change; what is left out stays. In `policy` too, each rule by itself."""

    model_config = ConfigDict(extra="forbid")

    name: Name | None = None
    description: Annotated[str, Text] | None = Field(default=None, max_length=2000)
    enabled: bool | None = None
    inputs: list[InputKind] | None = Field(default=None, max_length=5)
    policy: SpacePolicy | None = None
    visibility: Visibility | None = Field(default=None, description=_VISIBILITY)


class SpacesApi:
    """Spaces over HTTP."""

    def __init__(self, services: Services) -> None:
        self._bus = services.bus
        self._access = services.access
        self._covers = services.covers

    def operations(self) -> Operations:
        """Everything under spaces."""
        api = Operations("spaces")
        named = (Code.SPACE_NOT_FOUND, Code.MULTIPLE_SPACES)
        api.add(
            "POST /api/spaces",
            self.create_space,
            Code.SPACE_NAME_TAKEN,
            Code.TENANT_NOT_FOUND,
            status=201,
            extra=examples.body("text", {"name": "poems", "policy": {"when_offline": "queue"}}),
        )
        api.add("GET /api/spaces", self.list_spaces)
        api.add("GET /api/spaces/{space}", self.get_space, *named)
        api.add(
            "PATCH /api/spaces/{space}",
            self.update_space,
            Code.SPACE_NAME_TAKEN,
            *named,
            extra=examples.body("disable", {"enabled": False}),
        )
        api.add(
            "DELETE /api/spaces/{space}",
            self.delete_space,
            *named,
            status=204,
            response_class=Response,
        )
        api.add("GET /api/spaces/{space}/queue", self.get_queue, *named)
        api.add("GET /api/spaces/{space}/connections", self.list_space_connections, *named)
        return api

    async def create_space(self, body: NewSpace, actor: Caller) -> Space:
        """Make a space."""
        fields = body.model_dump(exclude={"policy"})
        command = CreateSpace(actor=actor, policy=body.policy, **fields)
        return (await self._bus.request(command)).space

    async def list_spaces(
        self,
        actor: Caller,
        name: Annotated[str | None, Query(max_length=64, description="Only of this name.")] = None,
        limit: Annotated[int, Query(ge=1, le=200)] = 50,
        cursor: Annotated[str | None, Query(max_length=500)] = None,
    ) -> SpaceList:
        """List spaces, oldest first."""
        return await self._bus.request(
            ListSpaces(actor=actor, name=name, limit=limit, cursor=cursor)
        )

    async def get_space(self, space: SpaceRef, actor: Caller) -> Space:
        """Read a space."""
        return await self._find(space, actor)

    async def update_space(self, space: SpaceRef, body: SpaceChange, actor: Caller) -> Space:
        """Change a space."""
        found = await self._find(space, actor)
        change = body.model_dump(exclude_unset=True, exclude={"policy"})
        if body.policy is not None:
            change["policy"] = merged(found.policy, body.policy)
        command = UpdateSpace(actor=actor, space_id=found.space_id, **change)
        return (await self._bus.request(command)).space

    async def delete_space(self, space: SpaceRef, actor: Caller) -> Response:
        """Remove a space.

        What is queued or running in it is cancelled.
        """
        found = await self._find(space, actor)
        await self._bus.request(DeleteSpace(actor=actor, space_id=found.space_id))
        await self._covers.remove(found.space_id, found.cover)
        return Response(status_code=204)

    async def get_queue(self, space: SpaceRef, actor: Caller) -> Queue:
        """Read a space's queue."""
        found = await self._access.space(actor, space_ref(space))
        reply = await self._bus.request(GetQueues(space_ids=[found.space_id]))
        return reply.queues[0] if reply.queues else Queue(space_id=found.space_id)

    async def list_space_connections(self, space: SpaceRef, actor: Caller) -> ConnectionList:
        """List a space's workers."""
        found = await self._find(space, actor)
        return await self._bus.request(ListConnections(actor=actor, space_id=found.space_id))

    async def _find(self, space: str, actor: Principal) -> Space:
        """As the registry has it now, not as it is remembered."""
        return (await self._bus.request(GetSpace(actor=actor, ref=space_ref(space)))).space


def merged(now: SpacePolicy, change: SpacePolicy) -> SpacePolicy:
    """The policy with the rules that were sent; defaults of the others were not sent."""
    sent: dict[str, Any] = change.model_dump(exclude_unset=True)
    return now.model_copy(update=sent)
