"""Room for a tenant's files: taken from the registry before bytes are stored, and given back when they are not.

A gateway that dies in the middle of an upload leaves what it had taken; that is given back with the day's files.
"""

from dataclasses import dataclass
from typing import Self

import structlog

from spaces_chassis.bus import Bus
from spaces_chassis.errors import ProblemError
from spaces_contracts.access import Principal, PrincipalKind
from spaces_contracts.problems import Code
from spaces_contracts.quotas import ForgetStorage, StorageAsk, TakeStorage

# An upload that does not say its size takes room in steps that grow.
FIRST_STEP = 256 * 1024
LARGEST_STEP = 8 * 1024 * 1024

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Uploader:
    """Whose room a file takes: a tenant's, and that of the key which uploads it."""

    tenant_id: str | None
    key_id: str | None = None

    @classmethod
    def of(cls, principal: Principal) -> Self:
        """Who calls."""
        is_key = principal.kind is PrincipalKind.API_KEY
        return cls(principal.tenant_id, principal.principal_id if is_key else None)


class Room:
    """Asks the registry."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def take(self, uploader: Uploader, size_bytes: int, day: str) -> None:
        """Problems: storage_full, unavailable. Without a tenant (an admin's upload) nothing is counted."""
        if uploader.tenant_id is None:
            return
        ask = StorageAsk(
            tenant_id=uploader.tenant_id, key_id=uploader.key_id, size_bytes=size_bytes, day=day
        )
        await self._bus.request(TakeStorage(ask=ask))

    async def give_back(self, uploader: Uploader, size_bytes: int, day: str) -> None:
        """What cannot be told now is given back with the day's files."""
        try:
            await self.take(uploader, -size_bytes, day)
        except ProblemError as error:
            log.warning("room_not_given_back", size_bytes=size_bytes, problem=str(error))

    async def forget(self, day: str) -> None:
        """The files of a day and of all before it are gone; said again by the next sweep when nobody hears it."""
        try:
            await self._bus.request(ForgetStorage(day=day))
        except ProblemError as error:
            log.info("room_not_forgotten", day=day, problem=str(error))


class HeldRoom:
    """The room of one upload. `settle` at its end, whatever that is."""

    def __init__(self, room: Room | None, uploader: Uploader, day: str) -> None:
        self._room = room
        self._uploader = uploader
        self._day = day
        self._held = 0
        self._step = FIRST_STEP

    async def cover(self, size_bytes: int, *, exactly: bool = False) -> None:
        """Makes sure that so many bytes are taken. Problems: storage_full, unavailable."""
        if self._room is None or size_bytes <= self._held:
            return
        needed = size_bytes - self._held
        wanted = needed if exactly else max(needed, self._step)
        try:
            await self._room.take(self._uploader, wanted, self._day)
        except ProblemError as error:
            if error.problem.code is not Code.STORAGE_FULL or wanted == needed:
                raise
            await self._room.take(self._uploader, needed, self._day)
            wanted = needed
        self._held += wanted
        self._step = min(self._step * 2, LARGEST_STEP)

    async def settle(self, stored_bytes: int) -> None:
        """Gives back what was not stored."""
        rest, self._held = self._held - stored_bytes, stored_bytes
        if self._room is not None and rest > 0:
            await self._room.give_back(self._uploader, rest, self._day)
