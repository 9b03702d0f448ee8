"""Watches the database's wall clock against our steady one, and accounts for its steps once."""

from dataclasses import dataclass
from datetime import datetime

import structlog

from spaces_chassis.clock import Clock
from spaces_scheduler.clock_steps import SLOW_READING_S, Reading, step_between
from spaces_scheduler.meters import Meters
from spaces_scheduler.upkeep_store import UpkeepStore

log = structlog.get_logger(__name__)

EVERY_S = 1.0
# A transaction that began before a step was accounted for may end so much later, with times of before.
_LATE_S = 5.0


class ClockLoop:
    """Knows what the wall clock should show."""

    def __init__(self, store: UpkeepStore, clock: Clock, meters: Meters) -> None:
        self._store = store
        self.monotonic = clock.monotonic
        self._meters = meters
        self._last: Reading | None = None
        self._mending: _Mending | None = None

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
        if last is not None and step_s is not None:
            self._meters.clock_steps.inc()
            mine = await self._store.shift_clock(generation, step_s)
            log.warning("clock_stepped", step_s=round(step_s, 3), shifted_here=mine)
            if mine:
                self._mending = _Mending(step_s, right_at_s=last.monotonic_s)
        await self._mend()
        return step_s

    async def _mend(self) -> None:
        """At once, and again a step later for what was under way."""
        if self._mending is None:
            return
        mending, self._mending = self._mending, None
        since_s = min(max(0.0, self.monotonic() - mending.right_at_s), _LATE_S) + EVERY_S
        mended = await self._store.mend_times(mending.step_s, since_s)
        if mended:
            log.warning("times_mended", rows=mended, step_s=round(mending.step_s, 3))
        if not mending.again:
            self._mending = _Mending(mending.step_s, mending.right_at_s, again=True)


@dataclass(frozen=True)
class _Mending:
    """A step whose wrong times are to be found."""

    step_s: float
    right_at_s: float  # our steady clock at the last reading before it
    again: bool = False
