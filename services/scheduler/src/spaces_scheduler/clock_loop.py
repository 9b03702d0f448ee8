"""Watches the database's wall clock against our steady one, and accounts for its steps once."""

from datetime import datetime

import structlog

from spaces_chassis.clock import Clock
from spaces_scheduler.clock_steps import SLOW_READING_S, Reading, step_between
from spaces_scheduler.meters import Meters
from spaces_scheduler.upkeep_store import UpkeepStore

log = structlog.get_logger(__name__)

EVERY_S = 1.0


class ClockLoop:
    """Knows what the wall clock should show."""

    def __init__(self, store: UpkeepStore, clock: Clock, meters: Meters) -> None:
        self._store = store
        self.monotonic = clock.monotonic
        self._meters = meters
        self._last: Reading | None = None

    def expected(self) -> datetime | None:
        """The database's wall clock now, if it did not step; None before the first reading."""
        return None if self._last is None else self._last.wall_at(self.monotonic())

    async def step(self) -> float | None:
        """The step that was seen, in seconds."""
        before = self.monotonic()
        wall, generation = await self._store.wall_clock()
        after = self.monotonic()
        if after - before > SLOW_READING_S:
            return None
        now = Reading(wall, (before + after) / 2, generation)
        last, self._last = self._last, now
        step_s = None if last is None else step_between(last, now)
        if step_s is not None:
            self._meters.clock_steps.inc()
            mine = await self._store.shift_clock(generation, step_s)
            log.warning("clock_stepped", step_s=round(step_s, 3), shifted_here=mine)
        return step_s
