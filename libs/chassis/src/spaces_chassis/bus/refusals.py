"""What the broker refused for want of a right: an error of who set this user's rights, or of ours."""

import structlog

from spaces_chassis.bus.meters import BusMeters
from spaces_chassis.bus.throttle import Throttle
from spaces_chassis.clock import Clock

log = structlog.get_logger(__name__)

_SIGN = "permissions violation for "
# Each is told once; beyond this they are told again.
_REMEMBERED = 1000


class Refusals:
    """Logged as errors and counted: nothing else tells, because the broker drops what it refuses."""

    def __init__(self, clock: Clock, meters: BusMeters) -> None:
        self._lines = Throttle(clock)
        self._count = {
            operation: meters.refused.labels(operation) for operation in ("publish", "subscribe")
        }
        self._told: set[str] = set()
        self._subscription = ""

    def note(self, error: str) -> bool:
        """Whether an error of the connection is a refusal."""
        _, sign, what = error.lower().partition(_SIGN)
        if not sign:
            return False
        operation = "subscribe" if what.startswith("subscription") else "publish"
        if operation == "subscribe":
            self._subscription = what
        self._count[operation].inc()
        if what not in self._told and self._lines.passes():
            if len(self._told) >= _REMEMBERED:
                self._told.clear()
            self._told.add(what)
            log.error("bus_refused", what=what)
        return True

    def took(self, subject: str) -> bool:
        """Whether the last refused subscription was for that subject; says so once."""
        if f'"{subject.lower()}"' not in self._subscription:
            return False
        self._subscription = ""
        return True
