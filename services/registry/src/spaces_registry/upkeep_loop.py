"""What a process left undone when it died between a commit and the next, and rows that nobody needs any more."""

from spaces_chassis.clock import Clock
from spaces_registry.endings import MAX_ENDS, Endings, Reason
from spaces_registry.hints import Hints
from spaces_registry.signing import Signing
from spaces_registry.stores import Stores

EVERY_S = 5.0
_FORGET_EVERY_S = 3600.0
# Ended connections are kept so long for people who ask what happened.
KEEP_DAYS = 7


class UpkeepLoop:
    """Ends connections that must not be, and forgets."""

    def __init__(
        self, stores: Stores, clock: Clock, endings: Endings, hints: Hints, signing: Signing
    ) -> None:
        self._sessions = stores.sessions
        self._usage = stores.usage
        self._system = stores.system
        self._clock = clock
        self._connections = stores.connections
        self._leases = stores.leases
        self._access = stores.access
        self._logins = stores.logins
        self._people = stores.people
        self._endings = endings
        self._hints = hints
        self._signing = signing
        self._forgot_s = float("-inf")

    async def step(self) -> int:
        """How many connections it ended: of deleted or disabled spaces, and of tokens revoked or expired."""
        ended = 0
        for space_id, ids, reason in await self._connections.orphans(MAX_ENDS):
            ended += await self._endings.end(space_id, ids, Reason(reason))
        # Twice the time between steps: each is told at least once, whatever the steps take.
        for principal_id in await self._logins.just_expired(2 * EVERY_S):
            await self._hints.credential_changed(principal_id)
        if self._clock.monotonic() - self._forgot_s >= _FORGET_EVERY_S:
            await self._signing.rotate()
            await self._access.drop_expired_tickets()
            await self._people.forget_tries()
            await self._logins.forget()
            await self._leases.forget(KEEP_DAYS)
            await self._sessions.forget()
            await self._usage.forget()
            await self._system.forget()
            self._forgot_s = self._clock.monotonic()
        return ended
