"""Watches the database's wall clock against our steady one, and accounts for its steps once."""

from dataclasses import dataclass, replace
from datetime import datetime

import structlog

from spaces_chassis.clock import Clock
from spaces_scheduler.clock_steps import SLOW_READING_S, Reading, step_between
from spaces_scheduler.meters import Meters
from spaces_scheduler.upkeep_store import UpkeepStore

log = structlog.get_logger(__name__)

EVERY_S = 1.0
# A step is accounted for within so much; times written longer ago are right.
_LATEST_S = 5.0
# A transaction that began before a step was accounted for may end so much later, with times of before.
_UNDER_WAY_S = 2.0


class ClockLoop:
    """Knows what the wall clock should show."""

    def __init__(self, store: UpkeepStore, clock: Clock, meters: Meters) -> None:
        self._store = store
        self.monotonic = clock.monotonic
        self._meters = meters
        self._last: Reading | None = None
        self._stepped: _Step | None = None  # whose last wrong times may still come
        self._quiet_until_s = float("-inf")

    def expected(self) -> datetime | None:
        """The database's wall clock now, if it did not step; None before the first reading."""
        return None if self._last is None else self._last.wall_at(self.monotonic())

    @property
    def trusted(self) -> bool:
        """Whether deadlines can be trusted: for a moment after a step, wrong ones may still be committed."""
        return self.monotonic() >= self._quiet_until_s

    async def step(self) -> float | None:
        """The step that was seen, in seconds."""
        before = self.monotonic()
        wall, generation = await self._store.wall_clock()
        after = self.monotonic()
        if after - before > SLOW_READING_S:
            return None
        now = Reading(wall, (before + after) / 2, generation)
        last, self._last = self._last, now
        if last is not None and now.generation != last.generation:
            self._quiet_until_s = after + _UNDER_WAY_S  # another scheduler accounted for one
        step_s = None if last is None else step_between(last, now)
        if last is not None and step_s is not None:
            await self._account(generation, _Step(step_s, last.monotonic_s))
            self._last = replace(now, generation=generation + 1)  # whoever did it
        elif self._stepped is not None and self.trusted:
            mended = await self._store.mend_times(
                self._stepped.seconds, self._since_s(self._stepped)
            )
            log.info("times_mended_again", rows=mended)
            self._stepped = None
        return step_s

    async def _account(self, generation: int, step: "_Step") -> None:
        self._meters.clock_steps.inc()
        self._quiet_until_s = self.monotonic() + _UNDER_WAY_S
        mended = await self._store.shift_clock(generation, step.seconds, self._since_s(step))
        if mended is not None:
            self._stepped = step
        log.warning("clock_stepped", step_s=round(step.seconds, 3), shifted_here=mended is not None)
        log.warning("times_mended", rows=mended or 0)

    def _since_s(self, step: "_Step") -> float:
        since_s = max(0.0, self.monotonic() - step.right_at_s)
        return min(since_s, _LATEST_S) + EVERY_S


@dataclass(frozen=True)
class _Step:
    """A step of the wall clock."""

    seconds: float
    right_at_s: float  # our steady clock at the last reading before it
