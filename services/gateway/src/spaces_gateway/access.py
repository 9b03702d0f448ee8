"""Who acts, and which space they mean: asked of the registry, remembered for five seconds.

A memory is dropped at once when the registry says that something changed; that message is only a hint,
so five seconds is the longest a revoked key still works here.
"""

import hashlib
from collections.abc import Awaitable, Callable

from spaces_chassis.bus import Bus
from spaces_chassis.clock import Clock
from spaces_chassis.errors import ProblemError
from spaces_contracts.access import (
    AccessChanged,
    Authenticate,
    Principal,
    PrincipalKind,
    RedeemTicket,
)
from spaces_contracts.keys import kind_of
from spaces_contracts.problems import Code
from spaces_contracts.spaces import GetSpace, Space
from spaces_contracts.users import GetLogin
from spaces_gateway.access_tokens import AccessTokens, is_token
from spaces_gateway.memory import Memory


def sha256_hex(secret: str) -> str:
    """What travels and is stored instead of a secret."""
    return hashlib.sha256(secret.encode()).hexdigest()


class Access:
    """Authentication and space lookup for HTTP and sockets alike. Everything raises ProblemError."""

    def __init__(self, bus: Bus, clock: Clock) -> None:
        self._bus = bus
        self.tokens = AccessTokens(bus, clock)
        self._principals: Memory[str, Principal] = Memory(clock)
        # By themselves: a browser's secret that is known here must not open anything as a bearer.
        self._sessions: Memory[str, Principal] = Memory(clock)
        self._spaces: Memory[tuple[str, str], Space] = Memory(clock)

    async def principal(self, secret: str) -> Principal:
        """Whose key or access token this is.

        Problems: unauthenticated, token_revoked, token_expired, user_disabled, unavailable.
        """
        digest = sha256_hex(secret)
        known = self._principals.known(digest)
        if known is not None:
            return known
        return await self._principals.recall(digest, self._question(secret, digest))

    async def session(self, secret: str) -> Principal:
        """Whose browser this is; its secret comes in a cookie and in nothing else. Problems: as `principal`."""
        if kind_of(secret) is not PrincipalKind.USER:
            raise ProblemError.of(Code.UNAUTHENTICATED, "The session cookie holds no session.")
        digest = sha256_hex(secret)
        return await self._sessions.recall(digest, lambda: self._by_secret(digest))

    async def redeem_ticket(self, ticket: str) -> Principal:
        """Uses a one-time ticket up. Problems: ticket_invalid, unavailable."""
        reply = await self._bus.request(RedeemTicket(ticket_sha256=sha256_hex(ticket)))
        return _whole(reply.principal)

    async def space(self, actor: Principal, ref: str) -> Space:
        """The space behind an id, a name or tenant/name, as this actor sees it; up to 5 s old.

        Problems: space_not_found, multiple_spaces, unavailable.
        """
        known = self._spaces.known((actor.principal_id, ref))
        if known is not None:
            return known

        async def ask() -> Space:
            reply = await self._bus.request(GetSpace(actor=actor, ref=ref))
            return reply.space

        return await self._spaces.recall((actor.principal_id, ref), ask)

    def forget(self, changed: AccessChanged) -> None:
        """Drops what is remembered about a credential, a login or a space."""
        if changed.what == "principal":
            for memory in (self._principals, self._sessions):
                memory.forget(lambda known: known.principal_id == changed.changed_id)
            # Somebody may not own their tenant any more, and see less of it.
            self._spaces.forget(lambda known: known.private_to is not None)
        else:
            self._spaces.forget(lambda known: known.space_id == changed.changed_id)

    def forget_all(self) -> None:
        """A change may have been missed."""
        for memory in (self._principals, self._sessions, self._spaces):
            memory.forget(lambda _: True)

    def _question(self, secret: str, digest: str) -> Callable[[], Awaitable[Principal]]:
        """How to find out whose it is. What can be nobody's is refused without asking."""
        kind = kind_of(secret)
        if kind is not None and kind is not PrincipalKind.USER:
            return lambda: self._by_secret(digest)
        if kind is None and is_token(secret):
            return lambda: self._by_token(secret)
        raise ProblemError.of(
            Code.UNAUTHENTICATED, "The bearer is neither a key nor an access token; is it whole?"
        )

    async def _by_secret(self, digest: str) -> Principal:
        return _whole((await self._bus.request(Authenticate(secret_sha256=digest))).principal)

    async def _by_token(self, token: str) -> Principal:
        login_id = await self.tokens.login_of(token)
        return _whole((await self._bus.request(GetLogin(login_id=login_id))).principal)


def _whole(principal: Principal) -> Principal:
    """The principal. One without a tenant would see every tenant's things, so only an admin may be without.

    A worker token over spaces of several tenants has none either; it serves these spaces and asks for nothing else.
    """
    scoped = principal.kind is PrincipalKind.WORKER_TOKEN
    if principal.tenant_id is None and not principal.is_admin and not scoped:
        raise ProblemError.of(Code.FORBIDDEN, "This credential belongs to no tenant.")
    return principal
