"""Each second: ends what is too old, forces cancels, asks again for stops, ends pauses."""

from collections.abc import Awaitable, Callable
from datetime import datetime

from spaces_chassis.bus import Bus
from spaces_chassis.database import Database
from spaces_scheduler.announcer import Announcer
from spaces_scheduler.clock_loop import ClockLoop
from spaces_scheduler.upkeep_store import UpkeepStore

EVERY_S = 1.0
# After the bus or the database was away, everybody has so long to bring what they have.
GRACE_S = 10.0
# Lanes that one pass handles of each kind; the rest waits for the next.
_MOST = 200


class SweepLoop:
    """What time does to requests."""

    def __init__(
        self,
        store: UpkeepStore,
        announcer: Announcer,
        clock: ClockLoop,
        bus: Bus,
        database: Database,
        grace_s: float = GRACE_S,
    ) -> None:
        self._store = store
        self._announcer = announcer
        self._clock = clock
        self._bus = bus
        self._database = database
        self.grace_s = grace_s

    async def step(self) -> int:
        """How many requests were changed."""
        if not self._bus.connected:
            return 0
        changed = await self._drained(self._store.resume)
        expected = self._clock.expected()
        if expected is not None and self._rested():
            changed += await self._expire(expected)
        stopping = await self._store.stop_again()
        await self._announcer.now(stopping)
        return changed

    def _rested(self) -> bool:
        up_s = min(self._bus.connected_for_s, self._database.connected_for_s)
        return up_s >= self.grace_s and self._clock.trusted

    async def _expire(self, expected: datetime) -> int:
        changed = await self._drained(lambda: self._store.expire(expected))
        return changed + await self._drained(lambda: self._store.force_cancel(expected))

    async def _drained(self, part: Callable[[], Awaitable[list[str]]]) -> int:
        changed = 0
        for _ in range(_MOST):
            request_ids = await part()
            if not request_ids:
                break
            await self._announcer.now(request_ids)
            changed += len(request_ids)
        return changed
