"""How long to wait before the next try: full jitter, so that agents do not come back all at once.

The first tries stay close together: a gateway that restarts is back in a second or two, and an agent that comes
back within its lease of ten seconds goes on with what it runs. Later ones come apart step by step, and never so far
that an agent keeps a space waiting for longer than ten seconds after its gateway is back.
"""

import random
from collections.abc import Callable

# Ten tries of at most two seconds: on average they fill the lease.
EARLY_TRIES = 10
EARLY_CAP_S = 2.0


class Backoff:
    """Waits uniform in [0, min(cap, first * 2^n)], capped lower at first; then the cap doubles with each try.

    Pure but for its source of chance.
    """

    def __init__(
        self,
        first_s: float = 0.5,
        cap_s: float = 10.0,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._first_s = first_s
        self._cap_s = cap_s
        self._chance = chance
        self._tries = 0

    def next_s(self, at_least_s: float = 0.0) -> float:
        """Seconds to wait; the server's wish is a floor under the jitter."""
        late = min(max(0, self._tries + 1 - EARLY_TRIES), 30)
        cap_s = min(self._cap_s, EARLY_CAP_S * 2.0**late)
        ceiling = min(cap_s, self._first_s * 2.0 ** min(self._tries, 30))
        self._tries += 1
        return at_least_s + ceiling * self._chance()

    def reset(self) -> None:
        """It worked: start small again."""
        self._tries = 0
