"""How long to wait before the next try: full jitter, so that agents do not come back all at once."""

import random
from collections.abc import Callable


class Backoff:
    """Waits uniform in [0, min(cap, first * 2^n)]. Pure but for its source of chance."""

    def __init__(
        self,
        first_s: float = 0.5,
        cap_s: float = 30.0,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._first_s = first_s
        self._cap_s = cap_s
        self._chance = chance
        self._tries = 0

    def next_s(self, at_least_s: float = 0.0) -> float:
        """Seconds to wait; the server's wish is a floor under the jitter."""
        ceiling = min(self._cap_s, self._first_s * 2.0 ** min(self._tries, 30))
        self._tries += 1
        return at_least_s + ceiling * self._chance()

    def reset(self) -> None:
        """It worked: start small again."""
        self._tries = 0
