"""People of a tenant: who they are, what they are, and whom to invite."""

import secrets
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from spaces_contracts.access import Role
from spaces_contracts.identifiers import TenantId
from spaces_contracts.problems import Code
from spaces_contracts.users import (
    CreateInvite,
    DeleteInvite,
    Email,
    Invite,
    InviteList,
    ListInvites,
    ListUsers,
    UpdateUser,
    User,
    UserList,
)
from spaces_gateway.access import sha256_hex
from spaces_gateway.http import examples
from spaces_gateway.http.operations import Operations
from spaces_gateway.http.paths import IdInPath
from spaces_gateway.http.principals import Caller
from spaces_gateway.services import Services


class UserChange(BaseModel):
    """What to change; what is left out stays."""

    model_config = ConfigDict(extra="forbid")

    role: Role | None = None
    disabled: Annotated[
        bool | None, Field(description="True ends their logins, keys and open sockets.")
    ] = None


class NewInvite(BaseModel):
    """Whom to invite."""

    model_config = ConfigDict(extra="forbid")

    role: Role = Role.MEMBER
    email: Email | None = Field(default=None, description="Only this person can use it.")
    tenant_id: TenantId | None = Field(default=None, description="For admins; else one's own.")


class MadeInvite(BaseModel):
    """An invitation just made."""

    invite: Invite
    secret: str = Field(description="For `invite` of POST /auth/register; shown this once.")


class PeopleApi:
    """Users and invitations over HTTP."""

    def __init__(self, services: Services) -> None:
        self._bus = services.bus

    def operations(self) -> Operations:
        """Everything about other people."""
        api = Operations("people")
        api.add("GET /api/users", self.list_users)
        api.add(
            "PATCH /api/users/{user_id}",
            self.update_user,
            Code.USER_NOT_FOUND,
            Code.LAST_OWNER,
            extra=examples.body("disable", {"disabled": True}),
        )
        api.add(
            "POST /api/invites",
            self.create_invite,
            Code.TENANT_NOT_FOUND,
            status=201,
            extra=examples.body("member", {"role": "member", "email": "bob@example.org"}),
        )
        api.add("GET /api/invites", self.list_invites)
        api.add(
            "DELETE /api/invites/{invite_id}",
            self.delete_invite,
            Code.INVITE_INVALID,
            status=204,
            response_class=Response,
        )
        return api

    async def list_users(self, actor: Caller) -> UserList:
        """List the tenant's users."""
        return await self._bus.request(ListUsers(actor=actor))

    async def update_user(self, user_id: IdInPath, body: UserChange, actor: Caller) -> User:
        """Change a user's role, or let them in no more."""
        command = UpdateUser(
            actor=actor, user_id=user_id, role=body.role, is_disabled=body.disabled
        )
        return (await self._bus.request(command)).user

    async def create_invite(self, body: NewInvite, actor: Caller) -> MadeInvite:
        """Invite somebody into the tenant, once."""
        secret = secrets.token_urlsafe(32)
        command = CreateInvite(
            actor=actor,
            invite_sha256=sha256_hex(secret),
            role=body.role,
            tenant_id=body.tenant_id,
            email=body.email,
        )
        return MadeInvite(invite=(await self._bus.request(command)).invite, secret=secret)

    async def list_invites(self, actor: Caller) -> InviteList:
        """List invitations that can still be used."""
        return await self._bus.request(ListInvites(actor=actor))

    async def delete_invite(self, invite_id: IdInPath, actor: Caller) -> Response:
        """Take an invitation back."""
        await self._bus.request(DeleteInvite(actor=actor, invite_id=invite_id))
        return Response(status_code=204)
