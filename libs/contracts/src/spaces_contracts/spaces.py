"""Spaces: a named place where people send requests, and the rules it keeps."""

from datetime import datetime
from enum import StrEnum
from typing import ClassVar

from pydantic import Field

from spaces_contracts.access import MAX_CHECKED, Act
from spaces_contracts.files import InputKind
from spaces_contracts.identifiers import Id, Name, SpaceId, TenantId
from spaces_contracts.message import Command, Contract, Done, Message, Reply
from spaces_contracts.subject import Subject


class WhenOffline(StrEnum):
    """What happens to a request while no worker is connected."""

    REJECT = "reject"
    QUEUE = "queue"


class Visibility(StrEnum):
    """For whom a space exists: all of its tenant, or its maker and whoever has `spaces:private`."""

    TENANT = "tenant"
    PRIVATE = "private"


class CoverPicture(Contract):
    """The picture of a space; its bytes are in the file store."""

    cover_id: Id
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    media_type: str
    size_bytes: int


class SpacePolicy(Contract):
    """The rules of a space. All times are seconds."""

    max_connections: int = Field(default=1, ge=1, le=1000)
    when_offline: WhenOffline = WhenOffline.REJECT
    max_queue: int = Field(default=1000, ge=1, le=100_000)
    queue_timeout_s: float = Field(default=120.0, gt=0, le=86_400)
    run_timeout_s: float = Field(default=120.0, gt=0, le=86_400)
    timeout_s: float = Field(default=120.0, gt=0, le=86_400)
    max_attempts: int = Field(default=3, ge=1, le=100)
    retry_after_start: bool = True


class Space(Contract):
    """One space as the registry knows it."""

    space_id: SpaceId
    tenant_id: TenantId
    tenant_name: Name
    name: Name
    description: str = ""
    enabled: bool = True
    inputs: list[InputKind] = [InputKind.PROMPT]
    policy: SpacePolicy = SpacePolicy()
    connected: bool = False
    connections: int = 0
    visibility: Visibility = Visibility.TENANT
    # A person, or a key that is no person's. None: made before this was noted.
    created_by: Id | None = None
    cover: CoverPicture | None = None
    created_at: datetime
    updated_at: datetime

    @property
    def private_to(self) -> str | None:
        """The maker of a private space, empty when nobody knows; None for one that is not private."""
        return (self.created_by or "") if self.visibility is Visibility.PRIVATE else None


class SpaceReply(Reply):
    """One space."""

    space: Space


class SpaceList(Reply):
    """A page of spaces; `next_cursor` is set when there are more."""

    spaces: list[Space] = []
    next_cursor: str | None = None


class CreateSpace(Act[SpaceReply]):
    """Makes a space. Problems: space_name_taken, tenant_not_found, forbidden."""

    subject: ClassVar = Subject("rpc.reg.space_create")
    reply: ClassVar = SpaceReply
    tenant_id: TenantId | None = None  # an admin without one uses the first tenant, `default`
    name: Name
    description: str = ""
    inputs: list[InputKind] = [InputKind.PROMPT]
    policy: SpacePolicy = SpacePolicy()
    enabled: bool = True
    visibility: Visibility = Visibility.TENANT


class GetSpace(Act[SpaceReply]):
    """Finds a space by id, name or tenant/name. Problems: space_not_found, multiple_spaces."""

    subject: ClassVar = Subject("rpc.reg.space_get")
    reply: ClassVar = SpaceReply
    ref: str


class ListSpaces(Act[SpaceList]):
    """Spaces the actor sees, oldest first."""

    subject: ClassVar = Subject("rpc.reg.space_list")
    reply: ClassVar = SpaceList
    name: str | None = None
    limit: int = Field(default=50, ge=1, le=200)
    cursor: str | None = None


class UpdateSpace(Act[SpaceReply]):
    """Changes what is given and leaves the rest."""

    subject: ClassVar = Subject("rpc.reg.space_update")
    reply: ClassVar = SpaceReply
    space_id: SpaceId
    name: Name | None = None
    description: str | None = None
    enabled: bool | None = None
    inputs: list[InputKind] | None = None
    policy: SpacePolicy | None = None
    visibility: Visibility | None = None


class SetCover(Act[SpaceReply]):
    """Gives a space a picture that is stored already, or takes it away."""

    subject: ClassVar = Subject("rpc.reg.space_cover")
    reply: ClassVar = SpaceReply
    space_id: SpaceId
    cover: CoverPicture | None = None


class SpaceAudience(Contract):
    """For whom a space exists now."""

    space_id: SpaceId
    tenant_id: TenantId
    private_to: str | None = None


class SpaceAudiences(Reply):
    """Of the spaces that are not deleted."""

    spaces: list[SpaceAudience] = []


class CheckSpaces(Command[SpaceAudiences]):
    """For whom some spaces exist now: asked by a gateway that may have missed a change."""

    subject: ClassVar = Subject("rpc.reg.space_check")
    reply: ClassVar = SpaceAudiences
    space_ids: list[SpaceId] = Field(max_length=MAX_CHECKED)


class DeleteSpace(Act[Done]):
    """Removes a space; what is queued or running in it is cancelled."""

    subject: ClassVar = Subject("rpc.reg.space_delete")
    reply: ClassVar = Done
    space_id: SpaceId


class SpaceEvent(Message):
    """What watchers of a space see change; at most four a second. Unset fields did not change."""

    subject: ClassVar = Subject("sev.{space_id}")
    space_id: SpaceId
    connected: bool | None = None
    connections: int | None = None
    queue_size: int | None = None
    running: int | None = None
