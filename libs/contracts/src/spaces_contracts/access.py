"""Who may do what: tenants, principals (admin and API keys), worker tokens, one-time tickets.

Secrets never cross the bus: what travels is their SHA-256 in hex.
"""

from datetime import datetime
from enum import StrEnum
from typing import ClassVar, TypeVar

from spaces_contracts.identifiers import Id, Name, PrincipalId, SpaceId, TenantId
from spaces_contracts.limits import Limits
from spaces_contracts.message import Command, Contract, Done, Message, Reply
from spaces_contracts.subject import Subject


class PrincipalKind(StrEnum):
    """What a credential stands for."""

    ADMIN = "admin"
    API_KEY = "api_key"
    WORKER_TOKEN = "worker_token"
    USER = "user"


class Role(StrEnum):
    """What a person is: the whole platform's admin, or a tenant's owner or member."""

    ADMIN = "admin"
    OWNER = "owner"
    MEMBER = "member"


class Permission(StrEnum):
    """What somebody may do; `permissions.py` says who and to what."""

    REQUESTS_READ = "requests:read"
    REQUESTS_WRITE = "requests:write"
    SPACES_READ = "spaces:read"
    SPACES_WRITE = "spaces:write"
    SPACES_PRIVATE = "spaces:private"
    WORKERS_READ = "workers:read"
    WORKERS_MANAGE = "workers:manage"
    WORKERS_SERVE = "workers:serve"
    KEYS_MANAGE = "keys:manage"
    USERS_MANAGE = "users:manage"
    TENANTS_MANAGE = "tenants:manage"
    AUDIT_READ = "audit:read"
    ACCOUNT = "account"


class Principal(Contract):
    """Who acts. An admin has no tenant and sees all of them."""

    principal_id: PrincipalId
    kind: PrincipalKind
    tenant_id: TenantId | None = None
    name: str = ""
    space_ids: list[SpaceId] = []  # a worker token's scope
    role: Role | None = None  # a person's
    user_id: Id | None = None  # whose login it is, or who made the key
    scopes: list[Permission] | None = None  # an API key's; None: all that a key may have
    client_address: str = ""  # where the call came from, as the gateway saw it

    @property
    def is_admin(self) -> bool:
        """Whether every tenant's things exist for them."""
        return self.kind is PrincipalKind.ADMIN or self.role is Role.ADMIN


# The tenant of who has none and is no admin: nothing is in it.
NO_TENANT = "0" * 26


class Sight(Contract):
    """What exists for somebody: a tenant's things, and of private spaces those of some makers."""

    tenant_id: TenantId | None = None  # None: every tenant's
    makers: list[Id] | None = []  # None: everybody's private spaces

    def sees(self, tenant_id: str | None, private_to: str | None) -> bool:
        """Whether a space exists for them. `private_to` is its maker when it is private, and None when it is not."""
        if self.tenant_id is not None and self.tenant_id != tenant_id:
            return False
        return private_to is None or self.makers is None or private_to in self.makers


# Of services, for what they ask for themselves.
EVERYTHING = Sight(tenant_id=None, makers=None)

R = TypeVar("R", bound=Reply)


class Act(Command[R]):
    """A command that says who wants it done."""

    actor: Principal


class Tenant(Contract):
    """Whose data is kept apart."""

    tenant_id: TenantId
    name: Name
    created_at: datetime


class Credential(Contract):
    """An API key or worker token as it is listed: never its secret."""

    principal: Principal
    prefix: str  # the first characters, so that people can tell keys apart
    created_at: datetime
    revoked_at: datetime | None = None
    last_used_at: datetime | None = None
    expires_at: datetime | None = None


class TenantReply(Reply):
    """One tenant."""

    tenant: Tenant


class TenantList(Reply):
    """All tenants the actor may see."""

    tenants: list[Tenant] = []


class CredentialReply(Reply):
    """One credential."""

    credential: Credential


class CredentialList(Reply):
    """Credentials the actor may see."""

    credentials: list[Credential] = []


class PrincipalReply(Reply):
    """Who a secret belongs to."""

    principal: Principal


class Authenticate(Command[PrincipalReply]):
    """Whose secret is this? Problems: unauthenticated, token_invalid, token_revoked, token_expired, user_disabled."""

    subject: ClassVar = Subject("rpc.reg.authenticate")
    reply: ClassVar = PrincipalReply
    secret_sha256: str


# As many as fit in one message.
MAX_CHECKED = 500


class PrincipalList(Reply):
    """Principals as they are now."""

    principals: list[Principal] = []


class CheckPrincipals(Command[PrincipalList]):
    """Which of these, at most MAX_CHECKED, are still good? Those that are not are missing from the answer."""

    subject: ClassVar = Subject("rpc.reg.principal_check")
    reply: ClassVar = PrincipalList
    principal_ids: list[PrincipalId]


class CreateTenant(Act[TenantReply]):
    """Makes a tenant; admins only."""

    subject: ClassVar = Subject("rpc.reg.tenant_create")
    reply: ClassVar = TenantReply
    name: Name


class ListTenants(Act[TenantList]):
    """The tenants an actor sees."""

    subject: ClassVar = Subject("rpc.reg.tenant_list")
    reply: ClassVar = TenantList


class CreateCredential(Act[CredentialReply]):
    """Stores a new API key or worker token; its maker keeps the secret and sends the hash.

    A worker token names the spaces (ids, names or tenant/name) that it may serve.
    """

    subject: ClassVar = Subject("rpc.reg.credential_create")
    reply: ClassVar = CredentialReply
    kind: PrincipalKind
    name: str
    secret_sha256: str
    prefix: str
    tenant_id: TenantId | None = None
    spaces: list[str] = []
    scopes: list[Permission] | None = None  # of an API key; None: all that its maker may hand on
    expires_in_s: float | None = None
    limits: Limits | None = None  # of this key, within its tenant's


class ListCredentials(Act[CredentialList]):
    """Keys or tokens the actor sees, revoked ones too."""

    subject: ClassVar = Subject("rpc.reg.credential_list")
    reply: ClassVar = CredentialList
    kind: PrincipalKind


class RevokeCredential(Act[CredentialReply]):
    """Ends a credential now; workers on a revoked token are disconnected."""

    subject: ClassVar = Subject("rpc.reg.credential_revoke")
    reply: ClassVar = CredentialReply
    principal_id: PrincipalId


class CreateTicket(Act[Done]):
    """Stores the hash of a one-time ticket for a browser socket; it lives 30 seconds."""

    subject: ClassVar = Subject("rpc.reg.ticket_create")
    reply: ClassVar = Done
    ticket_sha256: str


class RedeemTicket(Command[PrincipalReply]):
    """Uses a ticket up. Problem: ticket_invalid."""

    subject: ClassVar = Subject("rpc.reg.ticket_redeem")
    reply: ClassVar = PrincipalReply
    ticket_sha256: str


class AccessChanged(Message):
    """A credential or space changed: forget what is cached about it. A hint; caches also expire.

    A space says who sees it now: what others have open on it ends.
    """

    subject: ClassVar = Subject("reg.changed.{what}.{changed_id}")
    what: str  # "principal" or "space"
    changed_id: Id
    tenant_id: TenantId | None = None
    private_to: str | None = None
