"""Join tokens: good for one exchange, in which a machine that just started gets a worker token of its own.

The machine makes its worker token itself and sends the hash, so that nobody else ever sees it, and so that a call whose
answer was lost can be made again.
"""

from datetime import datetime
from typing import ClassVar

from spaces_contracts.access import Act, CredentialReply
from spaces_contracts.identifiers import Id, PrincipalId, SpaceId, TenantId
from spaces_contracts.message import Command, Contract, Reply
from spaces_contracts.subject import Subject

# A machine that is rented now has started by then.
DEFAULT_LIFE_S = 3600.0
LONGEST_LIFE_S = 30 * 86_400.0


class JoinToken(Contract):
    """A join token as it is listed: never its secret."""

    join_id: Id
    tenant_id: TenantId | None = None
    name: str
    prefix: str
    space_ids: list[SpaceId]
    created_at: datetime
    expires_at: datetime
    revoked_at: datetime | None = None
    used_at: datetime | None = None
    used_by: PrincipalId | None = None  # the worker token that came of it


class JoinTokenReply(Reply):
    """One join token."""

    join_token: JoinToken


class JoinTokenList(Reply):
    """Join tokens the actor may see."""

    join_tokens: list[JoinToken] = []


class CreateJoinToken(Act[JoinTokenReply]):
    """Stores the hash of a join token for these spaces (ids, names or tenant/name)."""

    subject: ClassVar = Subject("rpc.reg.join_create")
    reply: ClassVar = JoinTokenReply
    join_sha256: str
    prefix: str
    name: str
    spaces: list[str]
    tenant_id: TenantId | None = None
    expires_in_s: float = DEFAULT_LIFE_S


class ListJoinTokens(Act[JoinTokenList]):
    """Join tokens, used and revoked ones too, newest first."""

    subject: ClassVar = Subject("rpc.reg.join_list")
    reply: ClassVar = JoinTokenList


class RevokeJoinToken(Act[JoinTokenReply]):
    """Takes back one that was not used. Problems: key_not_found, join_token_used."""

    subject: ClassVar = Subject("rpc.reg.join_revoke")
    reply: ClassVar = JoinTokenReply
    join_id: Id


class RedeemJoinToken(Command[CredentialReply]):
    """Exchanges a join token for a worker token. Problems: join_token_invalid, join_token_used.

    The same exchange again, of the same two secrets, is answered the same.
    """

    subject: ClassVar = Subject("rpc.reg.join_redeem")
    reply: ClassVar = CredentialReply
    join_sha256: str
    secret_sha256: str
    prefix: str
    client_address: str = ""
