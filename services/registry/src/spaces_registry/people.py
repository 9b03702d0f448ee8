"""Handlers of people: they register, change their password, are invited, promoted and shut out."""

from spaces_chassis.database import Connection as Transaction
from spaces_chassis.errors import ProblemError
from spaces_contracts.access import Principal, Role
from spaces_contracts.identifiers import new_id
from spaces_contracts.message import Done
from spaces_contracts.problems import Code
from spaces_contracts.users import (
    ChangePassword,
    CreateInvite,
    DeleteInvite,
    GetRegistration,
    InviteList,
    InviteReply,
    ListInvites,
    ListUsers,
    RegisterUser,
    Registration,
    RegistrationReply,
    UpdateUser,
    User,
    UserList,
    UserReply,
)
from spaces_registry.access import require_hash
from spaces_registry.actors import chosen_tenant, sees_tenant, tenant_filter, tenant_not_found
from spaces_registry.hints import Hints
from spaces_registry.logins import Logins
from spaces_registry.passwords import Passwords
from spaces_registry.person_store import NewPerson
from spaces_registry.stores import Stores


class People:
    """Users of tenants."""

    def __init__(
        self,
        stores: Stores,
        hints: Hints,
        passwords: Passwords,
        logins: Logins,
        registration: Registration,
    ) -> None:
        self._database = stores.database
        self._access = stores.access
        self._people = stores.people
        self._login_store = stores.logins
        self._hints = hints
        self._passwords = passwords
        self._logins = logins
        self._registration = registration

    async def registration(self, _command: GetRegistration) -> RegistrationReply:
        """Who may register."""
        return RegistrationReply(registration=self._registration)

    async def register(self, command: RegisterUser) -> UserReply:
        """An owner with a tenant of their own, or whom an invitation asks for."""
        self._require_open(command)
        require_hash(command.password_digest)
        if "@" in command.username:
            raise ProblemError.of(Code.INVALID_REQUEST, "A username holds no @")
        password_hash = await self._passwords.hash(command.password_digest)
        async with self._database.transaction() as tx:
            tenant_id, role, invite_id = await self._place(tx, command)
            person = NewPerson(command.email, command.username, password_hash, role, tenant_id)
            user = await self._people.add(tx, person)
            if user is None:
                raise ProblemError.of(Code.EMAIL_TAKEN, "This email or username is in use already")
            if invite_id is not None:
                await self._people.note_guest(tx, invite_id, user.user_id)
        return UserReply(user=user)

    async def change_password(self, command: ChangePassword) -> Done:
        """The other logins end: whoever knew the old password is out."""
        require_hash(command.new_digest)
        found = await self._people.person(command.actor.user_id or "")
        if found is None:
            raise ProblemError.of(Code.FORBIDDEN, "Only a person has a password")
        user = found[0]
        await self._logins.checked(
            user.email, command.password_digest, command.actor.client_address
        )
        await self._people.set_password(
            user.user_id, await self._passwords.hash(command.new_digest)
        )
        for login_id in await self._login_store.end(user.user_id, but=command.actor.principal_id):
            await self._hints.credential_changed(login_id)
        return Done()

    async def list(self, command: ListUsers) -> UserList:
        """Disabled ones too."""
        return UserList(users=await self._people.people(tenant_filter(command.actor)))

    async def update(self, command: UpdateUser) -> UserReply:
        """Takes effect at once: sockets on the person's logins and keys are closed."""
        async with self._database.transaction() as tx:
            user = await self._seen(command.actor, command.user_id)
            role = _role(command, user)
            is_disabled = (
                user.disabled_at is not None if command.is_disabled is None else command.is_disabled
            )
            loses = user.disabled_at is None and (is_disabled or role is not user.role)
            promoted = role is Role.ADMIN and not is_disabled
            if loses and not promoted and user.role is not Role.MEMBER:
                peers = await self._people.lock_peers(tx, user)
                if not peers and not (command.actor.is_admin and user.role is Role.OWNER):
                    raise ProblemError.of(
                        Code.LAST_OWNER, f"They are the last {user.role.value} who can sign in"
                    )
            changed = await self._people.change(tx, user, role, is_disabled=is_disabled)
        assert changed is not None, "people are never deleted"
        principals = await self._login_store.principals_of(user.user_id)
        if is_disabled:
            await self._login_store.end(user.user_id)
        for principal_id in principals:
            await self._hints.credential_changed(principal_id)
        return UserReply(user=changed)

    async def create_invite(self, command: CreateInvite) -> InviteReply:
        """For one person, once, for seven days."""
        require_hash(command.invite_sha256)
        if command.role is Role.ADMIN:
            raise ProblemError.of(
                Code.INVALID_REQUEST, "Invite a member or owner; an admin can promote them"
            )
        tenant_id = chosen_tenant(command.actor, command.tenant_id)
        if not await self._access.has_tenant(tenant_id):
            raise tenant_not_found()
        invite = await self._people.add_invite(
            command.invite_sha256,
            tenant_id,
            command.role,
            command.email,
            command.actor.principal_id,
        )
        if invite is None:
            raise ProblemError.of(Code.INVALID_REQUEST, "This secret is in use already")
        return InviteReply(invite=invite)

    async def list_invites(self, command: ListInvites) -> InviteList:
        """Those that can still be used."""
        return InviteList(invites=await self._people.invites(tenant_filter(command.actor)))

    async def delete_invite(self, command: DeleteInvite) -> Done:
        """One that was used is no invitation any more."""
        if not await self._people.drop_invite(command.invite_id, tenant_filter(command.actor)):
            raise ProblemError.of(Code.INVITE_INVALID, "No such invitation")
        return Done()

    def _require_open(self, command: RegisterUser) -> None:
        if self._registration is Registration.CLOSED:
            raise ProblemError.of(Code.REGISTRATION_CLOSED, "Nobody can register here")
        if self._registration is Registration.INVITE and command.invite_sha256 is None:
            raise ProblemError.of(Code.REGISTRATION_CLOSED, "Registering takes an invitation")

    async def _place(self, tx: Transaction, command: RegisterUser) -> tuple[str, Role, str | None]:
        """Tenant, role and invitation of a new person."""
        if command.invite_sha256 is not None:
            invite = await self._people.use_invite(tx, command.invite_sha256, command.email)
            if invite is None:
                raise ProblemError.of(
                    Code.INVITE_INVALID, "The invitation is unknown, used, old or not for you"
                )
            return invite.tenant_id, invite.role, invite.invite_id
        name = command.tenant_name or f"{command.email.partition('@')[0][:40]}-{new_id()[-6:]}"
        tenant = await self._access.add_tenant(name, tx)
        if tenant is None:
            raise ProblemError.of(Code.TENANT_NAME_TAKEN, f"A tenant {name!r} exists already")
        return tenant.tenant_id, Role.OWNER, None

    async def _seen(self, actor: Principal, user_id: str) -> User:
        found = await self._people.person(user_id)
        if found is None or not sees_tenant(actor, found[0].tenant_id):
            raise ProblemError.of(Code.USER_NOT_FOUND, "No such user")
        return found[0]


def _role(command: UpdateUser, user: User) -> Role:
    role = command.role or user.role
    if role is user.role:
        return role
    if not command.actor.is_admin and Role.ADMIN in (role, user.role):
        raise ProblemError.of(Code.FORBIDDEN, "Only an admin makes admins")
    if user.role is Role.ADMIN:
        raise ProblemError.of(
            Code.INVALID_REQUEST, "An admin has no tenant to be a member of; disable them instead"
        )
    return role
