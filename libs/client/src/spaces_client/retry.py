"""Whether and when to try again: a pure decision."""

from dataclasses import dataclass
from enum import Enum

from spaces_client.errors import Refused, SpacesError, Unreachable

# These say that the answer will soon be another one without anybody acting. `worker_not_connected` and `queue_full`
# may be retried too, but by somebody who decides how long to wait: hiding them would look like a hang. Who sends too
# much hears when the next minute begins, and waits for that if it is within the patience.
_PASSING = frozenset(
    {
        "unavailable",
        "going_away",
        "too_many_connections",
        "slow_consumer",
        "heartbeat_timeout",
        "rate_limited",
    }
)
_PASSING_STATUS = frozenset({502, 503, 504})
_INTERNAL_TRIES = 2


class Repeat(Enum):
    """What a second sending of the same call would do."""

    HARMLESS = "harmless"  # same effect as one
    ONLY_UNSENT = "only_unsent"  # a second effect, unless the first never left this host


@dataclass(frozen=True)
class Patience:
    """How long to go on, in seconds. Delays double from `first_s` to `longest_s`, half of each is random."""

    for_s: float = 20.0
    first_s: float = 0.1
    longest_s: float = 3.0

    def delay(self, tries: int, chance: float) -> float:
        """The pause after try number `tries` (from 1); `chance` is in [0, 1)."""
        full = min(self.longest_s, self.first_s * 2.0 ** min(tries - 1, 30))
        return full * (0.5 + chance / 2)


def passing(error: SpacesError) -> bool:
    """Whether the error goes away by itself."""
    if isinstance(error, Unreachable):
        return error.retry
    if not isinstance(error, Refused):
        return False
    if error.code == "http_error":  # a proxy in between answered, not a gateway
        return error.status in _PASSING_STATUS
    return error.code in _PASSING or error.code == "internal_error"


def next_delay(
    patience: Patience,
    error: SpacesError,
    repeat: Repeat,
    *,
    tries: int,
    elapsed_s: float,
    chance: float,
) -> float | None:
    """Seconds until the next try, or None to give up."""
    if not passing(error):
        return None
    unsent = isinstance(error, Unreachable) and not error.sent
    if repeat is Repeat.ONLY_UNSENT and not unsent:
        return None
    if error.code == "internal_error" and tries >= _INTERNAL_TRIES:
        return None
    delay = patience.delay(tries, chance)
    if isinstance(error, Refused) and error.retry_after_s is not None:
        delay = max(delay, error.retry_after_s)
    return delay if elapsed_s + delay <= patience.for_s else None
