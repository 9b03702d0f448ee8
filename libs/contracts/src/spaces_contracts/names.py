"""What things are called, for lists that hold their ids."""

from typing import ClassVar

from pydantic import Field

from spaces_contracts.access import Act, PrincipalKind
from spaces_contracts.identifiers import ConnectionId, Id, PrincipalId, SpaceId, TenantId
from spaces_contracts.message import Contract, Reply
from spaces_contracts.subject import Subject

MAX_NAMES = 2000


class SpaceName(Contract):
    """A space, perhaps a deleted one."""

    space_id: SpaceId
    name: str
    tenant_id: TenantId
    tenant_name: str


class PrincipalName(Contract):
    """Who made something: a person by their username or the part of their email before the @, or a key by its name."""

    principal_id: PrincipalId
    kind: PrincipalKind
    name: str = ""
    user_id: Id | None = None


class WorkerName(Contract):
    """A connection, perhaps one that ended."""

    connection_id: ConnectionId
    hostname: str = ""
    version: str = ""


class Names(Reply):
    """What the actor may know; the others are left out."""

    spaces: list[SpaceName] = []
    principals: list[PrincipalName] = []
    workers: list[WorkerName] = []


class GetNames(Act[Names]):
    """Names of spaces, principals and workers by their ids."""

    subject: ClassVar = Subject("rpc.reg.names_get")
    reply: ClassVar = Names
    space_ids: list[SpaceId] = Field(default=[], max_length=MAX_NAMES)
    principal_ids: list[PrincipalId] = Field(default=[], max_length=MAX_NAMES)
    connection_ids: list[ConnectionId] = Field(default=[], max_length=MAX_NAMES)


class PrincipalIds(Reply):
    """Credentials, newest first."""

    principal_ids: list[PrincipalId] = []


class ListPrincipals(Act[PrincipalIds]):
    """The logins and keys of a person, or the key itself; none when the actor may not know of them."""

    subject: ClassVar = Subject("rpc.reg.principals_find")
    reply: ClassVar = PrincipalIds
    who: Id
