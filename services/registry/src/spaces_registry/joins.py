"""Handlers of join tokens."""

from spaces_chassis.database import Connection as Transaction
from spaces_chassis.errors import ProblemError
from spaces_contracts.access import Credential, CredentialReply, Principal, PrincipalKind
from spaces_contracts.identifiers import new_id
from spaces_contracts.joins import (
    LONGEST_LIFE_S,
    CreateJoinToken,
    JoinToken,
    JoinTokenList,
    JoinTokenReply,
    ListJoinTokens,
    RedeemJoinToken,
    RevokeJoinToken,
)
from spaces_contracts.permissions import sight_of
from spaces_contracts.problems import Code
from spaces_registry.access import require_hash
from spaces_registry.actors import require_issuer, tenant_filter
from spaces_registry.join_store import NewJoinToken
from spaces_registry.space_finder import SpaceFinder
from spaces_registry.stores import Stores


class Joins:
    """Machines that come once and then have a token of their own."""

    def __init__(self, stores: Stores) -> None:
        self._database = stores.database
        self._joins = stores.joins
        self._access = stores.access
        self._spaces = stores.spaces
        self._finder = SpaceFinder(stores.spaces)

    async def create(self, command: CreateJoinToken) -> JoinTokenReply:
        """It belongs where its spaces are; one over several tenants belongs to the admins."""
        require_hash(command.join_sha256)
        if not command.spaces:
            raise ProblemError.of(
                Code.INVALID_REQUEST, "A join token names the spaces that its worker may serve"
            )
        if not 0 < command.expires_in_s <= LONGEST_LIFE_S:
            raise ProblemError.of(Code.INVALID_REQUEST, "A join token lives up to thirty days")
        found = [await self._finder.find(command.actor, ref) for ref in command.spaces]
        space_ids = sorted({space.space_id for space in found})
        tenants = await self._spaces.tenants_of(space_ids)
        if command.tenant_id is not None and tenants != {command.tenant_id}:
            raise ProblemError.of(Code.TENANT_NOT_FOUND, "The spaces are not all of this tenant")
        made = await self._joins.add(
            NewJoinToken(
                command.join_sha256,
                command.prefix,
                command.name,
                tenants.pop() if len(tenants) == 1 else None,
                space_ids,
                command.actor.principal_id,
                command.expires_in_s,
            )
        )
        if made is None:
            raise ProblemError.of(Code.INVALID_REQUEST, "This secret is in use already")
        return JoinTokenReply(join_token=made)

    async def list(self, command: ListJoinTokens) -> JoinTokenList:
        """Used and revoked ones too."""
        actor = command.actor
        found = await self._joins.listed(tenant_filter(actor), sight_of(actor).makers)
        return JoinTokenList(join_tokens=found)

    async def revoke(self, command: RevokeJoinToken) -> JoinTokenReply:
        """What came of a used one is a worker token, and is revoked as such."""
        actor = command.actor
        token = await self._joins.revoke(
            command.join_id, tenant_filter(actor), sight_of(actor).makers
        )
        if token is None:
            raise ProblemError.of(Code.KEY_NOT_FOUND, "No such join token")
        if token.used_by is not None:
            raise ProblemError.of(
                Code.JOIN_TOKEN_USED, f"It was used; revoke the worker token {token.used_by}"
            )
        return JoinTokenReply(join_token=token)

    async def redeem(self, command: RedeemJoinToken) -> CredentialReply:
        """Once; of several machines that come with it at the same moment one gets a token."""
        require_hash(command.join_sha256)
        require_hash(command.secret_sha256)
        async with self._database.transaction() as tx:
            held = await self._joins.lock(tx, command.join_sha256)
            if held is None:
                raise _invalid()
            used_by = held.token.used_by
            if used_by is not None:
                if not await self._joins.is_repeat(tx, used_by, command.secret_sha256):
                    raise ProblemError.of(Code.JOIN_TOKEN_USED)
                principal_id = used_by
            elif held.is_over:
                raise _invalid()
            else:
                await self._require_maker(tx, held.created_by)
                made = await self._access.add_credential(
                    _worker(held.token),
                    secret_sha256=command.secret_sha256,
                    prefix=command.prefix,
                    within=tx,
                )
                if made is None:
                    raise ProblemError.of(Code.INVALID_REQUEST, "This secret is in use already")
                principal_id = made.principal.principal_id
                await self._joins.use_up(tx, held.token.join_id, principal_id)
        return CredentialReply(credential=await self._stored(principal_id))

    async def _require_maker(self, tx: Transaction, principal_id: str) -> None:
        """A login may have ended by now; a key that was revoked, or a person who may not any more, has no say."""
        known = await self._access.known(principal_id, tx)
        assert known is not None, "principals are never deleted"
        maker = known.credential.principal
        over = (
            {Code.TOKEN_REVOKED, Code.TOKEN_EXPIRED} if maker.kind is PrincipalKind.USER else set()
        )
        if known.obstacle is not None and known.obstacle not in over:
            raise _invalid()
        if known.is_disabled:
            raise _invalid()
        try:
            require_issuer(maker, PrincipalKind.WORKER_TOKEN)
        except ProblemError:
            raise _invalid() from None

    async def _stored(self, principal_id: str) -> Credential:
        credential = await self._access.credential(principal_id)
        assert credential is not None, "principals are never deleted"
        return credential


def _worker(token: JoinToken) -> Principal:
    return Principal(
        principal_id=new_id(),
        kind=PrincipalKind.WORKER_TOKEN,
        tenant_id=token.tenant_id,
        name=token.name,
        space_ids=token.space_ids,
    )


def _invalid() -> ProblemError:
    return ProblemError.of(
        Code.JOIN_TOKEN_INVALID, "The join token is unknown, expired or was taken back"
    )
