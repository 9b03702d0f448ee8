"""People: users of tenants, their passwords, logins and invitations.

A password never crosses the bus: what travels is `password_digest` of it, and what is stored is argon2id of that.
"""

import hashlib
from datetime import datetime
from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import StringConstraints

from spaces_contracts.access import Act, Principal, PrincipalReply, Role
from spaces_contracts.identifiers import Id, Name, PrincipalId, TenantId
from spaces_contracts.message import Command, Contract, Done, Reply
from spaces_contracts.subject import Subject

UserId = Id
# One sign between something and something with a dot in it: the rest is found out by writing there.
Email = Annotated[
    str,
    StringConstraints(
        pattern=r"^[^@\s\x00-\x1f\x7f]{1,64}@[^@\s\x00-\x1f\x7f]{1,189}$",
        max_length=254,
        to_lower=True,
        strip_whitespace=True,
    ),
]
MIN_PASSWORD = 10
MAX_PASSWORD = 256

# Access tokens are JWTs: who makes them and whom they are for is this installation, at whatever address.
TOKEN_ALGORITHM = "Ed25519"
TOKEN_ISSUER = TOKEN_AUDIENCE = "spaces"
TOKEN_TYPE = "at+jwt"  # RFC 9068

_CONTEXT = b"websocket-spaces password 1\0"


def password_digest(password: str) -> str:
    """SHA-256 in hex, of the password behind words that no other system puts before one."""
    return hashlib.sha256(_CONTEXT + password.encode()).hexdigest()


class Registration(StrEnum):
    """Whether people may register by themselves."""

    OPEN = "open"
    INVITE = "invite"
    CLOSED = "closed"


class User(Contract):
    """A person. A platform admin belongs to no tenant."""

    user_id: UserId
    email: str
    username: str = ""
    role: Role
    tenant_id: TenantId | None = None
    created_at: datetime
    disabled_at: datetime | None = None
    last_login_at: datetime | None = None


class Login(Contract):
    """One device on which somebody is signed in."""

    login_id: PrincipalId
    user_id: UserId
    created_at: datetime
    last_used_at: datetime | None = None
    expires_at: datetime
    user_agent: str = ""
    client_address: str = ""


class Invite(Contract):
    """Leave to register in a tenant, once."""

    invite_id: Id
    tenant_id: TenantId
    role: Role
    created_at: datetime
    expires_at: datetime
    email: str | None = None
    used_at: datetime | None = None


class SigningKey(Contract):
    """A key that access tokens are checked with: the members of RFC 7517 for Ed25519 (RFC 8037, RFC 9864)."""

    kid: str
    x: str
    kty: str = "OKP"
    crv: str = "Ed25519"
    alg: str = TOKEN_ALGORITHM
    use: str = "sig"


class UserReply(Reply):
    """One user."""

    user: User


class UserList(Reply):
    """Users the actor may see."""

    users: list[User] = []


class LoginList(Reply):
    """Where the actor is signed in."""

    logins: list[Login] = []


class InviteReply(Reply):
    """One invitation."""

    invite: Invite


class InviteList(Reply):
    """Invitations the actor may see."""

    invites: list[Invite] = []


class SigningKeys(Reply):
    """Every key whose tokens may still be valid, the one that signs now first."""

    keys: list[SigningKey] = []


class RegistrationReply(Reply):
    """Who may register."""

    registration: Registration


class LoginReply(Reply):
    """Somebody is signed in: the token is a signed JWT, for `expires_in_s`."""

    principal: Principal
    access_token: str
    expires_in_s: int
    refresh_expires_in_s: int


class RegisterUser(Command[UserReply]):
    """Makes a user: the owner of a new tenant, or what an invitation says.

    Problems: registration_closed, invite_invalid, email_taken, tenant_name_taken.
    """

    subject: ClassVar = Subject("rpc.reg.user_register")
    reply: ClassVar = UserReply
    email: Email
    password_digest: str
    username: str = ""
    tenant_name: Name | None = None
    invite_sha256: str | None = None
    client_address: str = ""


class GetRegistration(Command[RegistrationReply]):
    """Who may register, so that a page offers no more."""

    subject: ClassVar = Subject("rpc.reg.registration")
    reply: ClassVar = RegistrationReply


class LogIn(Command[LoginReply]):
    """Checks a password. Problems: login_failed, login_throttled, user_disabled.

    `secret_sha256` is of the secret that the client keeps: a refresh secret, which is replaced at each use, or a
    session secret of a browser (`is_session`), which stands for the user by itself.
    """

    subject: ClassVar = Subject("rpc.reg.login")
    reply: ClassVar = LoginReply
    name: str  # the email or the username
    password_digest: str
    secret_sha256: str
    is_session: bool = False
    user_agent: str = ""
    client_address: str = ""


class RefreshLogin(Command[LoginReply]):
    """Exchanges a refresh secret for the next one. Problems: unauthenticated, token_revoked, user_disabled.

    A secret that was exchanged before ends the login: two hold it, and one of them is a thief.
    """

    subject: ClassVar = Subject("rpc.reg.login_refresh")
    reply: ClassVar = LoginReply
    secret_sha256: str
    next_sha256: str


class GetLogin(Command[PrincipalReply]):
    """Who an access token stands for now. Problems: unauthenticated, token_revoked, user_disabled."""

    subject: ClassVar = Subject("rpc.reg.login_get")
    reply: ClassVar = PrincipalReply
    login_id: PrincipalId


class ListSigningKeys(Command[SigningKeys]):
    """The public keys of access tokens."""

    subject: ClassVar = Subject("rpc.reg.signing_keys")
    reply: ClassVar = SigningKeys


class ListLogins(Act[LoginList]):
    """Where the actor is signed in."""

    subject: ClassVar = Subject("rpc.reg.login_list")
    reply: ClassVar = LoginList


class EndLogin(Act[Done]):
    """Signs the actor out of one device. Problem: login_not_found."""

    subject: ClassVar = Subject("rpc.reg.login_end")
    reply: ClassVar = Done
    login_id: PrincipalId


class ChangePassword(Act[Done]):
    """Changes the actor's password and ends their other logins. Problems: login_failed, login_throttled."""

    subject: ClassVar = Subject("rpc.reg.password_change")
    reply: ClassVar = Done
    password_digest: str
    new_digest: str


class ListUsers(Act[UserList]):
    """The users of the actor's tenant; all of them for admins."""

    subject: ClassVar = Subject("rpc.reg.user_list")
    reply: ClassVar = UserList


class UpdateUser(Act[UserReply]):
    """Changes a user's role, or lets them in no more: their logins and keys end.

    Problems: user_not_found, last_owner.
    """

    subject: ClassVar = Subject("rpc.reg.user_update")
    reply: ClassVar = UserReply
    user_id: UserId
    role: Role | None = None
    is_disabled: bool | None = None


class CreateInvite(Act[InviteReply]):
    """Stores the hash of an invitation's secret."""

    subject: ClassVar = Subject("rpc.reg.invite_create")
    reply: ClassVar = InviteReply
    invite_sha256: str
    role: Role = Role.MEMBER
    tenant_id: TenantId | None = None
    email: Email | None = None


class ListInvites(Act[InviteList]):
    """Invitations that can still be used."""

    subject: ClassVar = Subject("rpc.reg.invite_list")
    reply: ClassVar = InviteList


class DeleteInvite(Act[Done]):
    """Takes an invitation back. Problem: invite_invalid."""

    subject: ClassVar = Subject("rpc.reg.invite_delete")
    reply: ClassVar = Done
    invite_id: Id
