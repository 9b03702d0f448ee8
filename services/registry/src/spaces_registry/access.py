"""Handlers of tenants, credentials and tickets."""

import re
from typing import get_args

from spaces_chassis.errors import ProblemError
from spaces_contracts.access import (
    MAX_CHECKED,
    Authenticate,
    CheckPrincipals,
    CreateCredential,
    CreateTenant,
    CreateTicket,
    Credential,
    CredentialList,
    CredentialReply,
    ListCredentials,
    ListTenants,
    Principal,
    PrincipalKind,
    PrincipalList,
    PrincipalReply,
    RedeemTicket,
    RevokeCredential,
    TenantList,
    TenantReply,
)
from spaces_contracts.identifiers import new_id
from spaces_contracts.limits import Limits
from spaces_contracts.message import Done
from spaces_contracts.permissions import sight_of
from spaces_contracts.problems import KINDS, Code
from spaces_contracts.quotas import Holder, LimitName
from spaces_registry.access_store import Known
from spaces_registry.actors import (
    chosen_tenant,
    handed_on,
    only_own,
    require_issuer,
    sees_credential,
    tenant_filter,
    tenant_not_found,
)
from spaces_registry.endings import Endings, Reason
from spaces_registry.hints import Hints
from spaces_registry.space_finder import SpaceFinder
from spaces_registry.stores import Stores

_SHA256 = re.compile(r"^[0-9a-f]{64}$")


class Access:
    """Who may do what."""

    def __init__(self, stores: Stores, endings: Endings, hints: Hints) -> None:
        self._access = stores.access
        self._spaces = stores.spaces
        self._quotas = stores.quotas
        self._finder = SpaceFinder(stores.spaces)
        self._endings = endings
        self._hints = hints

    async def authenticate(self, command: Authenticate) -> PrincipalReply:
        """Whose secret it is."""
        known = await self._access.authenticate(command.secret_sha256)
        if known is None:
            raise ProblemError.of(Code.UNAUTHENTICATED, "The key is not known")
        return PrincipalReply(principal=good(known))

    async def check_principals(self, command: CheckPrincipals) -> PrincipalList:
        """For a gateway that may have missed a change."""
        asked = command.principal_ids[:MAX_CHECKED]
        return PrincipalList(principals=await self._access.good(asked))

    async def create_tenant(self, command: CreateTenant) -> TenantReply:
        """Tenants' names are unique."""
        tenant = await self._access.add_tenant(command.name)
        if tenant is None:
            raise ProblemError.of(
                Code.TENANT_NAME_TAKEN, f"A tenant {command.name!r} exists already"
            )
        return TenantReply(tenant=tenant)

    async def list_tenants(self, command: ListTenants) -> TenantList:
        """All of them for admins, else one's own."""
        return TenantList(tenants=await self._access.tenants(tenant_filter(command.actor)))

    async def create_credential(self, command: CreateCredential) -> CredentialReply:
        """Stores the hash of a secret that its maker keeps."""
        require_issuer(command.actor, command.kind)
        require_hash(command.secret_sha256)
        is_key = command.kind is PrincipalKind.API_KEY
        principal = Principal(
            principal_id=new_id(),
            kind=command.kind,
            tenant_id=command.tenant_id,
            name=command.name,
            space_ids=await self._scope(command),
            user_id=command.actor.user_id if is_key else None,
            scopes=handed_on(command.actor, command.scopes) if is_key else None,
        )
        principal = principal.model_copy(
            update={"tenant_id": await self._tenant(command, principal)}
        )
        if command.expires_in_s is not None and command.expires_in_s <= 0:
            raise ProblemError.of(
                Code.INVALID_REQUEST, "A credential cannot expire before it is made"
            )
        await self._limit(principal, command.limits)
        stored = await self._access.add_credential(
            principal,
            secret_sha256=command.secret_sha256,
            prefix=command.prefix,
            expires_in_s=command.expires_in_s,
        )
        if stored is None:
            raise ProblemError.of(Code.INVALID_REQUEST, "This secret is in use already")
        return CredentialReply(credential=stored)

    async def list_credentials(self, command: ListCredentials) -> CredentialList:
        """Revoked ones too."""
        require_issuer(command.actor, command.kind)
        own = only_own(command.actor) if command.kind is PrincipalKind.API_KEY else None
        found = await self._access.credentials(
            command.kind, tenant_filter(command.actor), own, sight_of(command.actor).makers
        )
        return CredentialList(credentials=found)

    async def revoke_credential(self, command: RevokeCredential) -> CredentialReply:
        """Ends it now, and the connections of workers that came with it."""
        credential = await self._seen(command.actor, command.principal_id)
        require_issuer(command.actor, credential.principal.kind)
        if not await self._access.revoke(command.principal_id):
            raise ProblemError.of(
                Code.FORBIDDEN, "The last admin key cannot be revoked; make another one first"
            )
        await self._hints.credential_changed(command.principal_id)
        await self._endings.end_of_principal(command.principal_id, Reason.TOKEN_REVOKED)
        return CredentialReply(credential=await self._seen(command.actor, command.principal_id))

    async def create_ticket(self, command: CreateTicket) -> Done:
        """For browsers: a key must not travel in a socket's address."""
        require_hash(command.ticket_sha256)
        if not await self._access.add_ticket(command.ticket_sha256, command.actor.principal_id):
            raise ProblemError.of(Code.UNAUTHENTICATED, "The credential is unknown or revoked")
        return Done()

    async def redeem_ticket(self, command: RedeemTicket) -> PrincipalReply:
        """Uses it up."""
        principal = await self._access.use_ticket(command.ticket_sha256)
        if principal is None:
            raise ProblemError.of(
                Code.TICKET_INVALID, "The ticket is unknown, used or older than 30 seconds"
            )
        return PrincipalReply(principal=principal)

    async def _seen(self, actor: Principal, principal_id: str) -> Credential:
        credential = await self._access.credential(principal_id)
        if (
            credential is None
            or not sees_credential(actor, credential.principal)
            or await self._spaces.hides(sight_of(actor), credential.principal.space_ids)
        ):
            raise ProblemError.of(Code.KEY_NOT_FOUND, "No such key or token")
        return credential

    async def _limit(self, principal: Principal, limits: Limits | None) -> None:
        """Before the key can be used; limits of a key that is then not stored bind nobody."""
        if limits is None:
            return
        if principal.tenant_id is None:
            raise ProblemError.of(Code.INVALID_REQUEST, "Only a key of a tenant may be limited")
        await self._quotas.change(
            Holder.KEY,
            principal.principal_id,
            principal.tenant_id,
            limits,
            get_args(LimitName),
        )

    async def _scope(self, command: CreateCredential) -> list[str]:
        if command.kind is not PrincipalKind.WORKER_TOKEN:
            if command.spaces:
                raise ProblemError.of(
                    Code.INVALID_REQUEST, "Only worker tokens are limited to spaces"
                )
            return []
        if not command.spaces:
            raise ProblemError.of(
                Code.INVALID_REQUEST, "A worker token names the spaces that it may serve"
            )
        return sorted(
            {(await self._finder.find(command.actor, ref)).space_id for ref in command.spaces}
        )

    async def _tenant(self, command: CreateCredential, principal: Principal) -> str | None:
        if command.kind is PrincipalKind.ADMIN:
            return None
        if command.kind is PrincipalKind.API_KEY:
            tenant_id = chosen_tenant(command.actor, command.tenant_id)
            if not await self._access.has_tenant(tenant_id):
                raise tenant_not_found()
            return tenant_id
        # A token belongs where its spaces are; one over several tenants belongs to the admins.
        tenants = await self._spaces.tenants_of(principal.space_ids)
        if command.tenant_id is not None and tenants != {command.tenant_id}:
            raise ProblemError.of(Code.TENANT_NOT_FOUND, "The spaces are not all of this tenant")
        return tenants.pop() if len(tenants) == 1 else None


def good(known: Known) -> Principal:
    """Whom a credential stands for. Raises token_revoked, token_expired or user_disabled."""
    if known.obstacle is not None:
        raise ProblemError.of(known.obstacle, KINDS[known.obstacle].title)
    return known.credential.principal


def require_hash(sha256: str) -> None:
    """Raises invalid_request for what is no SHA-256 in hex: somebody may have sent the secret itself."""
    if not _SHA256.match(sha256):
        raise ProblemError.of(Code.INVALID_REQUEST, "A secret travels as its SHA-256 in hex")
