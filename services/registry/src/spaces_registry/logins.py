"""Handlers of signing in and staying signed in."""

from spaces_chassis.clock import Clock
from spaces_chassis.errors import ProblemError
from spaces_contracts.access import Principal, PrincipalReply
from spaces_contracts.message import Done
from spaces_contracts.problems import Code, Problem
from spaces_contracts.users import (
    EndLogin,
    GetLogin,
    ListLogins,
    ListSigningKeys,
    LogIn,
    LoginList,
    LoginReply,
    RefreshLogin,
    SigningKeys,
    User,
)
from spaces_registry.access import good, require_hash
from spaces_registry.hints import Hints
from spaces_registry.login_store import NewLogin
from spaces_registry.passwords import Passwords
from spaces_registry.settings import Lifetimes
from spaces_registry.signing import Signing
from spaces_registry.stores import Stores

# Wrong passwords within the window: for one name from one place, one name from anywhere, one place for any name.
WINDOW_S = 900.0
TRIES = {"name-place": 10, "name": 100, "place": 300}
# Two tabs of a browser may exchange the same secret at once, and the answer to a page that is reloaded or cut off
# reaches nobody: so long after it was exchanged, a secret may be exchanged once more.
SAME_MOMENT_S = 10.0


class Logins:
    """Passwords in, access tokens out."""

    def __init__(
        self,
        stores: Stores,
        hints: Hints,
        passwords: Passwords,
        signing: Signing,
        clock: Clock,
        lifetimes: Lifetimes,
    ) -> None:
        self._database = stores.database
        self._access = stores.access
        self._people = stores.people
        self._logins = stores.logins
        self._hints = hints
        self._passwords = passwords
        self._signing = signing
        self._clock = clock
        self._lifetimes = lifetimes

    async def log_in(self, command: LogIn) -> LoginReply:
        """Opens a login for whoever knows the password."""
        require_hash(command.secret_sha256)
        user = await self.checked(command.name, command.password_digest, command.client_address)
        lifetime_s = self._lifetimes.session_s if command.is_session else self._lifetimes.login_s
        login = NewLogin(
            secret_sha256=command.secret_sha256,
            lifetime_s=lifetime_s,
            is_session=command.is_session,
            user_agent=command.user_agent[:200],
            client_address=command.client_address,
        )
        login_id = await self._logins.add(user, login)
        if login_id is None:
            raise ProblemError.of(Code.INVALID_REQUEST, "This secret is in use already")
        return await self._reply(login_id, lifetime_s)

    async def refresh(self, command: RefreshLogin) -> LoginReply:
        """Goes on with a login, with a new secret."""
        require_hash(command.next_sha256)
        async with self._database.transaction() as tx:
            login_id = await self._logins.exchange(
                tx, command.secret_sha256, command.next_sha256, self._lifetimes.login_s
            )
            if login_id is None:
                login_id = await self._logins.exchange_again(
                    tx,
                    command.secret_sha256,
                    command.next_sha256,
                    self._lifetimes.login_s,
                    SAME_MOMENT_S,
                )
        if login_id is None:
            raise await self._not_exchanged(command.secret_sha256)
        return await self._reply(login_id, self._lifetimes.login_s)

    async def get(self, command: GetLogin) -> PrincipalReply:
        """Whether a login goes on, and what its person may do now."""
        return PrincipalReply(principal=await self._principal(command.login_id))

    async def list(self, command: ListLogins) -> LoginList:
        """The actor's own."""
        return LoginList(logins=await self._logins.logins(_user_id(command.actor)))

    async def end(self, command: EndLogin) -> Done:
        """Closes what is open on it, too."""
        ended = await self._logins.end(_user_id(command.actor), only=command.login_id)
        if not ended:
            raise ProblemError.of(Code.LOGIN_NOT_FOUND, "You are not signed in there")
        await self._hints.credential_changed(command.login_id)
        return Done()

    async def signing_keys(self, _command: ListSigningKeys) -> SigningKeys:
        """The public halves."""
        return SigningKeys(keys=[key.public() for key in await self._signing.keys()])

    async def checked(self, name: str, password_digest: str, client_address: str) -> User:
        """Who has this name and password. Raises login_failed, login_throttled, user_disabled."""
        subjects = _subjects(name, client_address)
        tries = await self._people.count_tries(list(subjects), WINDOW_S)
        waits = [tries[one][1] for one, most in subjects.items() if tries[one][0] > most]
        if waits:
            raise _throttled(max(waits))
        found = await self._people.named(name)
        fits = await self._passwords.fits(found[1] if found else None, password_digest)
        if found is None or not fits:
            raise ProblemError.of(Code.LOGIN_FAILED, "The name or the password is wrong")
        user, stored = found
        await self._people.take_back_tries(list(subjects))
        if user.disabled_at is not None:
            raise ProblemError.of(Code.USER_DISABLED, "This user may not sign in")
        if self._passwords.is_dated(stored):
            await self._people.set_password(
                user.user_id, await self._passwords.hash(password_digest)
            )
        return user

    async def _reply(self, login_id: str, lifetime_s: int) -> LoginReply:
        principal = await self._principal(login_id)
        key = (await self._signing.keys())[0]
        token_s = self._lifetimes.access_token_s
        now_s = int(self._clock.now().timestamp())
        return LoginReply(
            principal=principal,
            access_token=key.sign(principal, now_s, token_s),
            expires_in_s=token_s,
            refresh_expires_in_s=lifetime_s,
        )

    async def _principal(self, login_id: str) -> Principal:
        known = await self._access.login(login_id)
        if known is None:
            raise ProblemError.of(Code.UNAUTHENTICATED, "The login is not known")
        return good(known)

    async def _not_exchanged(self, secret_sha256: str) -> ProblemError:
        spent = await self._logins.spent_by(secret_sha256)
        if spent is not None and spent[1] > SAME_MOMENT_S:
            login_id = spent[0]
            known = await self._access.login(login_id)
            if known is not None and known.credential.principal.user_id is not None:
                await self._logins.end(known.credential.principal.user_id, only=login_id)
                await self._hints.credential_changed(login_id)
            return ProblemError.of(
                Code.TOKEN_REVOKED, "This secret was used before; the login is ended. Sign in again"
            )
        return ProblemError.of(Code.UNAUTHENTICATED, "Not signed in any more")


def _subjects(name: str, place: str) -> dict[str, int]:
    """What tries are counted by, and how many there may be."""
    name = name.strip().lower()[:254]
    subjects = {f"name:{name}": TRIES["name"], f"name-place:{place} {name}": TRIES["name-place"]}
    if place:
        subjects[f"place:{place}"] = TRIES["place"]
    return subjects


def _throttled(wait_s: float) -> ProblemError:
    problem = Problem(
        code=Code.LOGIN_THROTTLED,
        message="Too many wrong passwords; nothing was checked",
        retry_after_s=round(max(wait_s, 1.0), 1),
    )
    return ProblemError(problem)


def _user_id(actor: Principal) -> str:
    if actor.user_id is None:
        raise ProblemError.of(Code.FORBIDDEN, "Only a person has logins")
    return actor.user_id
