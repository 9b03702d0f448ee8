"""argon2id of password digests, off the event loop and few at a time.

The parameters are argon2-cffi's default, RFC 9106's second recommended option: 3 passes over 64 MiB, 4 lanes.
"""

import asyncio
import secrets

from argon2 import PasswordHasher
from argon2.exceptions import VerificationError

# Each takes 64 MiB and 4 threads; more at a time would only wait for each other.
AT_ONCE = 2


class Passwords:
    """Makes and checks hashes."""

    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        self._hasher = hasher or PasswordHasher()
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._nobodys: str | None = None

    async def hash(self, digest: str) -> str:
        """What is stored."""
        async with self._turns:
            return await asyncio.to_thread(self._hasher.hash, digest)

    async def fits(self, stored: str | None, digest: str) -> bool:
        """Whether the digest is of the stored password. None (nobody of that name) takes as long and is false."""
        if stored is None:
            if self._nobodys is None:
                self._nobodys = await self.hash(secrets.token_hex(32))
            await self._verified(self._nobodys, digest)
            return False
        return await self._verified(stored, digest)

    def is_dated(self, stored: str) -> bool:
        """Whether it was made with other parameters than today's."""
        return self._hasher.check_needs_rehash(stored)

    async def _verified(self, stored: str, digest: str) -> bool:
        async with self._turns:
            try:
                return await asyncio.to_thread(self._hasher.verify, stored, digest)
            except VerificationError:
                return False
