"""Lets through what would flood the log."""

from spaces_chassis.clock import Clock


class Throttle:
    """Lets one pass a second."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._last = float("-inf")

    def passes(self) -> bool:
        """Whether a second is over since one passed."""
        now = self._clock.monotonic()
        if now - self._last < 1.0:
            return False
        self._last = now
        return True
