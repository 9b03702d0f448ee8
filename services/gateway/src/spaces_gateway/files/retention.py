"""Removes files that are older than they are kept."""

from datetime import date, timedelta

import structlog

from spaces_chassis.clock import Clock
from spaces_gateway.files.room import Room
from spaces_gateway.files.store import FileStore

log = structlog.get_logger(__name__)


class RetentionSweep:
    """One pass an hour; several gateways doing it at once is harmless."""

    every_s = 3600.0

    def __init__(
        self, files: FileStore, clock: Clock, keep_days: int, room: Room | None = None
    ) -> None:
        self._files = files
        self._room = room
        self._clock = clock
        self._keep = timedelta(days=keep_days)

    async def step(self) -> int:
        """Removes what is due. Returns how many objects that were."""
        removed = 0
        # A day goes when its youngest file is old enough.
        oldest: date = (self._clock.now() - self._keep).date()
        for day in await self._files.days():
            if day >= oldest:
                break
            count = await self._files.remove_day(day)
            removed += count
            log.info("files_removed", day=day.isoformat(), objects=count)
        # Each time, because the one that removed a day may not have got so far.
        if self._room is not None:
            await self._room.forget((oldest - timedelta(days=1)).isoformat())
        return removed
