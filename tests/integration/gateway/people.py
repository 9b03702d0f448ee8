"""People, as far as HTTP needs the registry for them: in memory, with tokens that are really signed."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from spaces_chassis.errors import ProblemError
from spaces_contracts.access import Principal, PrincipalKind, PrincipalReply, Role
from spaces_contracts.audit import AuditPage, ListAudit
from spaces_contracts.identifiers import new_id
from spaces_contracts.message import Done, Reply
from spaces_contracts.problems import Code
from spaces_contracts.users import (
    ChangePassword,
    CreateInvite,
    DeleteInvite,
    EndLogin,
    GetLogin,
    GetRegistration,
    Invite,
    InviteList,
    InviteReply,
    ListInvites,
    ListLogins,
    ListSigningKeys,
    ListUsers,
    LogIn,
    Login,
    LoginList,
    LoginReply,
    RefreshLogin,
    RegisterUser,
    Registration,
    RegistrationReply,
    SigningKeys,
    UpdateUser,
    User,
    UserList,
    UserReply,
    password_digest,
)
from tests.integration.gateway import machines
from tests.support.signing import LIFETIME_S, Signer

if TYPE_CHECKING:
    from tests.integration.gateway.backends import Backends

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
REFRESH_S = 30 * 86_400


class People:
    """Who has an account, and where they are signed in."""

    def __init__(self, backends: "Backends") -> None:
        self._backends = backends
        self.signer = Signer()
        self.registration = Registration.INVITE
        self.users: dict[str, User] = {}
        self.passwords: dict[str, str] = {}  # email -> digest
        self.logins: dict[str, Principal] = {}
        self.refreshes: dict[str, str] = {}  # hash of a refresh secret -> login id
        self.add("ada@example.org", "nine sheep on a hill", Role.OWNER)

    def add(self, email: str, password: str, role: Role) -> User:
        """Somebody who can sign in from now on."""
        tenant_id = None if role is Role.ADMIN else self._backends.tenant_id
        user = User(user_id=new_id(), email=email, role=role, tenant_id=tenant_id, created_at=NOW)
        self.users[email] = user
        self.passwords[email] = password_digest(password)
        return user

    def sign_in(self, email: str = "ada@example.org") -> tuple[Principal, str]:
        """A login that is known from now on, and a token for it."""
        user = self.users[email]
        principal = Principal(
            principal_id=new_id(),
            kind=PrincipalKind.USER,
            tenant_id=user.tenant_id,
            name=email,
            role=user.role,
            user_id=user.user_id,
        )
        self.logins[principal.principal_id] = principal
        return principal, self.signer.token(principal.principal_id)

    def serve(self) -> None:
        """Answers everything about people."""
        for command_type, answer in (
            (RegisterUser, self._register),
            (GetRegistration, lambda _: RegistrationReply(registration=self.registration)),
            (LogIn, self._log_in),
            (RefreshLogin, self._refresh),
            (GetLogin, self._get_login),
            (ListSigningKeys, lambda _: SigningKeys(keys=[self.signer.public])),
            (ListLogins, lambda _: LoginList(logins=[self._login(one) for one in self.logins])),
            (EndLogin, self._end),
            (ChangePassword, self._change_password),
            (ListUsers, lambda _: UserList(users=list(self.users.values()))),
            (UpdateUser, self._update),
            (CreateInvite, self._invite),
            (ListInvites, lambda _: InviteList()),
            (DeleteInvite, lambda _: Done()),
            (ListAudit, lambda _: AuditPage()),
        ):
            self._backends.serve(command_type, answer)
        machines.serve(self._backends)

    def _register(self, command: RegisterUser) -> Reply:
        if command.email in self.users:
            raise ProblemError.of(Code.EMAIL_TAKEN, "The email is in use.")
        user = self.add(command.email, "", Role.OWNER)
        self.passwords[command.email] = command.password_digest
        return UserReply(user=user)

    def _log_in(self, command: LogIn) -> Reply:
        if self.passwords.get(command.name) != command.password_digest:
            raise ProblemError.of(Code.LOGIN_FAILED, "Name or password is wrong.")
        principal, token = self.sign_in(command.name)
        if command.is_session:
            self._backends.principals[command.secret_sha256] = principal
        else:
            self.refreshes[command.secret_sha256] = principal.principal_id
        return self._reply(principal, token)

    def _refresh(self, command: RefreshLogin) -> Reply:
        login_id = self.refreshes.pop(command.secret_sha256, "")
        principal = self.logins.get(login_id)
        if principal is None:
            raise ProblemError.of(Code.UNAUTHENTICATED, "The login is not known.")
        self.refreshes[command.next_sha256] = login_id
        return self._reply(principal, self.signer.token(login_id))

    def _get_login(self, command: GetLogin) -> Reply:
        principal = self.logins.get(command.login_id)
        if principal is None:
            raise ProblemError.of(Code.TOKEN_REVOKED, "The login has ended.")
        return PrincipalReply(principal=principal)

    async def _end(self, command: EndLogin) -> Reply:
        if self.logins.pop(command.login_id, None) is None:
            raise ProblemError.of(Code.LOGIN_NOT_FOUND, "There is no such login.")
        principals = self._backends.principals
        for digest, principal in list(principals.items()):
            if principal.principal_id == command.login_id:
                del principals[digest]
        await self._backends.changed("principal", command.login_id)
        return Done()

    def _change_password(self, command: ChangePassword) -> Reply:
        if self.passwords.get(command.actor.name) != command.password_digest:
            raise ProblemError.of(Code.LOGIN_FAILED, "The password is wrong.")
        self.passwords[command.actor.name] = command.new_digest
        return Done()

    def _update(self, command: UpdateUser) -> Reply:
        for user in self.users.values():
            if user.user_id == command.user_id:
                return UserReply(user=user)
        raise ProblemError.of(Code.USER_NOT_FOUND, "There is no such user.")

    def _invite(self, command: CreateInvite) -> Reply:
        invite = Invite(
            invite_id=new_id(),
            tenant_id=self._backends.tenant_id,
            role=command.role,
            created_at=NOW,
            expires_at=NOW,
            email=command.email,
        )
        return InviteReply(invite=invite)

    def _login(self, login_id: str) -> Login:
        user_id = self.logins[login_id].user_id or ""
        return Login(login_id=login_id, user_id=user_id, created_at=NOW, expires_at=NOW)

    @staticmethod
    def _reply(principal: Principal, token: str) -> LoginReply:
        return LoginReply(
            principal=principal,
            access_token=token,
            expires_in_s=LIFETIME_S,
            refresh_expires_in_s=REFRESH_S,
        )
