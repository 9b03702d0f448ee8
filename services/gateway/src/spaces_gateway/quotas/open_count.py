"""Requests that have not ended, as one gateway may add to them. Pure.

The scheduler knows the number; this gateway knows what it let in since it asked, but not what others did that is not
committed yet. It lets in half of what was free by the last count, and counts again when that is committed. One
gateway keeps the limit; each further one may pass it by the half that it has on its way. A tenant far below its limit
never waits for a count.
"""

# A count is good for so long; one that a request may use without waiting is refreshed before that.
GOOD_S = 2.0
REFRESH_S = 1.0
# A full tenant is not counted again before this: a flood of refused requests asks four times a second.
FULL_S = 0.25


class OpenCount:
    """One tenant's or key's requests at once."""

    __slots__ = ("asked_at", "concurrent", "counting", "full_until", "good_until", "in_flight", "open", "queued",
                 "room", "since", "waiting", "which")  # fmt: skip

    def __init__(self) -> None:
        self.concurrent: int | None = None
        self.queued: int | None = None
        self.counting = False
        self.asked_at = self.good_until = self.full_until = float("-inf")
        self.room = 0
        self.in_flight = 0  # let in here and not yet answered by the scheduler
        self.since = 0  # let in here since the last count was asked for
        self.open = self.waiting = 0
        self.which = "concurrent"

    def limits(self, concurrent: int | None, queued: int | None) -> None:
        """New limits make the last count useless."""
        if (concurrent, queued) != (self.concurrent, self.queued):
            self.concurrent, self.queued = concurrent, queued
            self.good_until = self.full_until = float("-inf")

    @property
    def bound(self) -> bool:
        """Whether there is a limit at all."""
        return self.concurrent is not None or self.queued is not None

    def enter(self, now: float) -> bool:
        """Lets one in, if there is room by the last count; `leave` once the scheduler answered."""
        if self.room <= 0 or now >= self.good_until:
            return False
        self.room -= 1
        self.since += 1
        self.in_flight += 1
        return True

    def leave(self) -> None:
        """The scheduler answered, so the next count holds it."""
        self.in_flight -= 1

    def give_back(self) -> None:
        """The request that was let in was stopped by another limit."""
        self.room += 1
        self.since -= 1
        self.in_flight -= 1

    def full(self, now: float) -> bool:
        """Whether to refuse without counting again."""
        return now < self.full_until

    def stale(self, now: float) -> bool:
        """Whether a count in the background is due."""
        return now >= self.asked_at + REFRESH_S and not self.counting

    def asked(self, now: float) -> None:
        """A count was asked for."""
        self.counting = True
        self.asked_at = now
        self.since = self.in_flight  # what is on its way may be in the count or not

    def counted(self, open_: int, waiting: int, now: float) -> None:
        """The scheduler's answer."""
        self.counting = False
        self.open, self.waiting = open_, waiting
        free = _free(self.concurrent, open_)
        room_to_wait = _free(self.queued, waiting)
        self.which = "queued" if room_to_wait < free else "concurrent"
        free = min(free, room_to_wait)
        left = free - self.since
        self.room = int(min(1_000_000, (left + 1) // 2)) if left > 0 else 0
        self.good_until = self.asked_at + GOOD_S
        self.full_until = now + FULL_S if free <= 0 else float("-inf")

    def unanswered(self) -> None:
        """Nobody counted."""
        self.counting = False


def _free(limit: int | None, used: int) -> float:
    return float("inf") if limit is None else limit - used
