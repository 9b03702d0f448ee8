"""When silence means death. Pure: takes readings of clocks, gives decisions.

Leases are kept in the database's wall clock. A wall clock can step, a database or bus can be away, and this
process can be frozen; after any of these the leases say nothing until everybody had time to renew theirs.
"""

from dataclasses import dataclass

from spaces_contracts.connections import GATEWAY_BEAT_S, LEASE_S, SUSPECT_AFTER_S

# Nothing dies for so long after an outage, a clock step or a freeze. Everybody beats at least thrice in it.
GRACE_S = 10.0
# More than this between wall and monotonic time is a step of the wall clock.
CLOCK_STEP_S = 2.0
# A step of the death loop that comes so late means that this process stood still, and so did its reading of beats.
FROZEN_S = 3.0
# A lease that ends later than this from now was written before the clock stepped back.
LEASE_LIMIT_S = LEASE_S + CLOCK_STEP_S
# With less than this left of its lease a connection was silent for too long to be trusted.
DOUBTED_LEASE_S = LEASE_S - SUSPECT_AFTER_S
# A gateway beats each 3 s: two missed beats are a doubt about all its sockets.
DOUBTED_GATEWAY_LEASE_S = LEASE_S - (2 * GATEWAY_BEAT_S + 0.5)


@dataclass(frozen=True)
class Reading:
    """What the clocks and connections say at one moment."""

    database_s: float  # the database's wall clock, as Unix time
    monotonic_s: float  # this process's
    bus_up_s: float  # since the bus was last connected; 0 while it is not
    database_up_s: float


@dataclass(frozen=True)
class Watch:
    """What a death loop remembers between its steps. A fresh one begins with the grace."""

    last: Reading | None = None
    quiet_until_s: float = 0.0  # monotonic

    def read(self, now: Reading) -> "Watch":
        """The watch after one more reading."""
        if self.last is None or disturbed(self.last, now):
            return Watch(now, now.monotonic_s + GRACE_S)
        return Watch(now, self.quiet_until_s)

    @property
    def may_kill(self) -> bool:
        """Whether an expired lease means death now."""
        if self.last is None:
            return False
        rested = self.last.monotonic_s >= self.quiet_until_s
        return rested and min(self.last.bus_up_s, self.last.database_up_s) >= GRACE_S


def disturbed(before: Reading, now: Reading) -> bool:
    """Whether leases lost their meaning between two readings."""
    elapsed_s = now.monotonic_s - before.monotonic_s
    stepped_s = (now.database_s - before.database_s) - elapsed_s
    return abs(stepped_s) > CLOCK_STEP_S or elapsed_s > FROZEN_S


def lease_left_s(silent_s: float) -> float:
    """What is left of a socket's lease when its gateway has heard nothing for so long.

    A worker has its lease from the moment at which silence becomes suspicious, however late we are told of it:
    time that a message takes, or a gateway between two looks, does not make a death later.
    """
    return min(LEASE_S, max(0.0, LEASE_S + SUSPECT_AFTER_S - silent_s))


def doubtful(lease_left_s: float | None, gateway_left_s: float | None) -> bool:
    """Whether a connection's silence is long enough to call it suspect.

    `lease_left_s` is what is left of the connection's own lease, `gateway_left_s` of its gateway's.
    """
    if lease_left_s is not None and lease_left_s < DOUBTED_LEASE_S:
        return True
    return gateway_left_s is not None and gateway_left_s < DOUBTED_GATEWAY_LEASE_S
