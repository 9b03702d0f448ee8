"""Tenants, API keys, worker tokens, tickets: who may do what. Secrets are made here and only their hash travels."""

import secrets
import shlex
from collections.abc import Sequence
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request

from spaces_contracts.access import (
    CreateCredential,
    CreateTenant,
    CreateTicket,
    Credential,
    CredentialList,
    ListCredentials,
    ListTenants,
    Permission,
    Principal,
    PrincipalKind,
    RevokeCredential,
    Tenant,
    TenantList,
)
from spaces_contracts.identifiers import Name, TenantId
from spaces_contracts.keys import new_key, shown_prefix
from spaces_contracts.limits import Bytes, Count, Limits
from spaces_contracts.permissions import permissions_of
from spaces_contracts.problems import Code
from spaces_contracts.quotas import LimitName
from spaces_gateway.access import sha256_hex
from spaces_gateway.http import examples
from spaces_gateway.http.operations import Operations
from spaces_gateway.http.paths import IdInPath
from spaces_gateway.http.principals import Caller, callers
from spaces_gateway.http.text import Text
from spaces_gateway.services import Services

# Ten years: a key that is to last longer is one without an end.
LONGEST_LIFE_S = 10 * 366 * 86_400


class NewTenant(BaseModel):
    """A tenant to make."""

    model_config = ConfigDict(extra="forbid")

    name: Name


class NewKey(BaseModel):
    """A key or token to make."""

    model_config = ConfigDict(extra="forbid")

    name: Annotated[str, Text] = Field(min_length=1, max_length=100, description="What it is for.")
    tenant_id: TenantId | None = Field(default=None, description="For admins; else one's own.")
    expires_in_s: float | None = Field(
        default=None, gt=0, le=LONGEST_LIFE_S, description="Seconds; without it, until revoked."
    )


class NewApiKey(NewKey):
    """An API key to make, with limits of its own if it is to have some."""

    scopes: list[Permission] | None = Field(
        default=None,
        max_length=len(Permission),
        description="What it may do, of what its maker may; without it, all that a key may.",
    )
    requests_per_minute: Count | None = Field(default=None, description="Within its tenant's.")
    concurrent: Count | None = Field(default=None, description="Requests that have not ended.")
    queued: Count | None = Field(default=None, description="Requests that wait.")
    stored_bytes: Bytes | None = Field(default=None, description="Files that it uploads.")

    def limits(self) -> Limits | None:
        """What was set, if anything was."""
        found = self.model_dump(include=set(get_args(LimitName)), exclude_none=True)
        return Limits.model_validate(found) if found else None


class NewWorkerToken(NewKey):
    """A worker token to make."""

    spaces: list[Annotated[str, Text]] = Field(
        min_length=1,
        max_length=64,
        description="What it may serve: ids, names or tenant/name.",
    )


class NewCredential(BaseModel):
    """A credential just made."""

    credential: Credential
    secret: str = Field(description="Shown this once; only its hash is kept.")


class NewToken(NewCredential):
    """A worker token just made."""

    command: str = Field(
        description="Serves its spaces with a handler in model.py; the token is in the environment, which others "
        "on the host cannot read.",
    )


class Ticket(BaseModel):
    """A one-time ticket for the browser socket's first frame."""

    ticket: str
    expires_in_s: Literal[30] = 30


class Me(Principal):
    """Who calls."""

    permissions: list[Permission] = Field(description="On whatever objects are theirs.")


class CredentialsApi:
    """Tenants and credentials over HTTP."""

    def __init__(self, services: Services) -> None:
        self._bus = services.bus

    def operations(self) -> Operations:
        """Everything about who may do what."""
        api = Operations("access")
        api.add("GET /api/me", self.get_me)
        api.add("POST /api/ws-ticket", self.create_ticket, status=201)
        api.add(
            "POST /api/tenants",
            self.create_tenant,
            Code.TENANT_NAME_TAKEN,
            status=201,
            extra=examples.body("tenant", {"name": "acme"}),
        )
        api.add("GET /api/tenants", self.list_tenants)
        api.add(
            "POST /api/keys",
            self.create_key,
            Code.TENANT_NOT_FOUND,
            status=201,
            extra=examples.body("key", {"name": "nightly batch"}),
        )
        api.add("GET /api/keys", self.list_keys)
        api.add("DELETE /api/keys/{key_id}", self.revoke_key, Code.KEY_NOT_FOUND)
        api.add(
            "POST /api/worker-tokens",
            self.create_worker_token,
            Code.TENANT_NOT_FOUND,
            Code.SPACE_NOT_FOUND,
            Code.MULTIPLE_SPACES,
            status=201,
            extra=examples.body("token", {"name": "gpu host 1", "spaces": ["poems"]}),
        )
        api.add("GET /api/worker-tokens", self.list_worker_tokens)
        api.add("DELETE /api/worker-tokens/{key_id}", self.revoke_worker_token, Code.KEY_NOT_FOUND)
        return api

    async def get_me(self, actor: Caller) -> Me:
        """Who this credential stands for, and what it may do."""
        return Me(**actor.model_dump(), permissions=sorted(permissions_of(actor)))

    async def create_ticket(self, actor: Caller) -> Ticket:
        """Make a ticket for the browser socket.

        It goes into the first frame of `/ws`, works once, and for 30 seconds.
        """
        ticket = secrets.token_urlsafe(32)
        await self._bus.request(CreateTicket(actor=actor, ticket_sha256=sha256_hex(ticket)))
        return Ticket(ticket=ticket)

    async def create_tenant(self, body: NewTenant, actor: Caller) -> Tenant:
        """Make a tenant; admins only."""
        return (await self._bus.request(CreateTenant(actor=actor, name=body.name))).tenant

    async def list_tenants(self, actor: Caller) -> TenantList:
        """List tenants."""
        return await self._bus.request(ListTenants(actor=actor))

    async def create_key(self, body: NewApiKey, actor: Caller) -> NewCredential:
        """Make an API key."""
        return await self._create(
            PrincipalKind.API_KEY, body, actor, scopes=body.scopes, limits=body.limits()
        )

    async def list_keys(self, actor: Caller) -> CredentialList:
        """List API keys, revoked ones too."""
        return await self._list(PrincipalKind.API_KEY, actor)

    async def revoke_key(self, key_id: IdInPath, actor: Caller) -> Credential:
        """Revoke an API key."""
        return await self._revoke(key_id, actor)

    async def create_worker_token(
        self, request: Request, body: NewWorkerToken, actor: Caller
    ) -> NewToken:
        """Make a worker token."""
        made = await self._create(PrincipalKind.WORKER_TOKEN, body, actor, spaces=body.spaces)
        gateway = callers(request).proxies.origin(request.scope)
        return NewToken(
            credential=made.credential,
            secret=made.secret,
            command=worker_command(gateway, made, body.spaces),
        )

    async def list_worker_tokens(self, actor: Caller) -> CredentialList:
        """List worker tokens, revoked ones too."""
        return await self._list(PrincipalKind.WORKER_TOKEN, actor)

    async def revoke_worker_token(self, key_id: IdInPath, actor: Caller) -> Credential:
        """Revoke a worker token; its workers are disconnected."""
        return await self._revoke(key_id, actor)

    async def _create(
        self, kind: PrincipalKind, body: NewKey, actor: Principal, **more: Any
    ) -> NewCredential:
        secret = new_key(kind)
        command = CreateCredential(
            actor=actor,
            kind=kind,
            name=body.name,
            secret_sha256=sha256_hex(secret),
            prefix=shown_prefix(secret),
            tenant_id=body.tenant_id,
            expires_in_s=body.expires_in_s,
            **more,
        )
        reply = await self._bus.request(command)
        return NewCredential(credential=reply.credential, secret=secret)

    async def _list(self, kind: PrincipalKind, actor: Principal) -> CredentialList:
        return await self._bus.request(ListCredentials(actor=actor, kind=kind))

    async def _revoke(self, principal_id: str, actor: Principal) -> Credential:
        command = RevokeCredential(actor=actor, principal_id=principal_id)
        return (await self._bus.request(command)).credential


def worker_command(gateway: str, token: NewCredential, refs: Sequence[str]) -> str:
    """One line for a shell, with the token in the environment and never among the arguments."""
    # The agent takes a comma for the end of a name.
    ids = token.credential.principal.space_ids
    spaces = ids if any("," in ref for ref in refs) else refs
    words = ["spaces-worker", "run", "model.py", "--gateway", gateway]
    for space in spaces:
        words += ["--space", space]
    return f"SPACES_WORKER_TOKEN={token.secret} {shlex.join(words)}"
