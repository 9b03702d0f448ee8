"""Which keys sign access tokens: the newest does, the one before is still good for what it signed."""

import structlog

from spaces_chassis.clock import Clock
from spaces_registry.access_tokens import PrivateKey, new_signing_key
from spaces_registry.login_store import LoginStore

log = structlog.get_logger(__name__)

SIGN_S = 30 * 86_400.0
# Longer than any access token lives.
CHECK_S = 86_400.0
# A key that another registry made is used after this at the latest; whoever checks fetches unknown keys.
_REMEMBER_S = 60.0


class Signing:
    """A Part: makes the first key at start. The upkeep loop calls `rotate`."""

    name = "signing"

    def __init__(self, store: LoginStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._keys: list[PrivateKey] = []
        self._read_s = float("-inf")

    async def start(self) -> None:
        """The database is up by now."""
        await self.rotate()

    async def drain(self) -> None:
        """Nothing is in flight."""

    async def stop(self) -> None:
        """Nothing is held."""

    def healthy(self) -> bool:
        """A start that failed ended the process."""
        return True

    async def rotate(self) -> None:
        """A new key when the newest is old; keys that signed nothing that is still valid go."""
        if await self._store.rotate(new_signing_key(), sign_s=SIGN_S, check_s=CHECK_S):
            log.info("signing_key_made")
            self._read_s = float("-inf")

    async def keys(self) -> list[PrivateKey]:
        """Newest first."""
        now_s = self._clock.monotonic()
        if now_s - self._read_s > _REMEMBER_S:
            self._keys = await self._store.signing_keys()
            self._read_s = now_s
        return self._keys
