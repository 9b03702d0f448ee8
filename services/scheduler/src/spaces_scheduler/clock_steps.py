"""Telling that a wall clock stepped: it and a steady clock moved by different amounts. Pure."""

from dataclasses import dataclass
from datetime import datetime, timedelta

# Less than this is drift, or the time that a question took.
STEP_S = 2.0
# A reading that took longer says too little about when it was taken.
SLOW_READING_S = 1.0


@dataclass(frozen=True)
class Reading:
    """The database's wall clock at a moment of our steady clock."""

    wall: datetime
    monotonic_s: float
    generation: int  # how many steps deadlines were shifted by so far

    def wall_at(self, monotonic_s: float) -> datetime:
        """What the wall clock shows at another moment if it does not step."""
        return self.wall + timedelta(seconds=monotonic_s - self.monotonic_s)


def step_between(before: Reading, now: Reading) -> float | None:
    """By how many seconds the wall clock stepped; None when it did not, or it was seen to already."""
    step_s = (now.wall - before.wall_at(now.monotonic_s)).total_seconds()
    if abs(step_s) <= STEP_S or now.generation != before.generation:
        return None
    return step_s
