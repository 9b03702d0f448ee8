"""Finds what fell through, by looking. On a healthy system it finds nothing; what it finds is counted."""

import structlog

from spaces_chassis.bus import Bus
from spaces_scheduler.announcer import Announcer
from spaces_scheduler.meters import Meters
from spaces_scheduler.upkeep_store import UpkeepStore

log = structlog.get_logger(__name__)

EVERY_S = 1.0


class RepairLoop:
    """Sends again jobs that nobody took, and gives free slots to requests that wait beside them."""

    def __init__(self, store: UpkeepStore, announcer: Announcer, bus: Bus, meters: Meters) -> None:
        self._store = store
        self._announcer = announcer
        self._bus = bus
        self._meters = meters

    async def step(self) -> int:
        """How many requests were repaired."""
        if not self._bus.connected:
            return 0
        repairs = await self._store.repair()
        found = repairs.lost_jobs + repairs.stranded
        if found:
            log.warning("repaired", dispatch=len(repairs.lost_jobs), claim=len(repairs.stranded))
            self._meters.repaired["dispatch"].inc(len(repairs.lost_jobs))
            self._meters.repaired["claim"].inc(len(repairs.stranded))
            await self._announcer.now(found)
        return len(found)
