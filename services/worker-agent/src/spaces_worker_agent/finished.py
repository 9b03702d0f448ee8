"""Attempts that are over, or were cancelled before they came: remembered for 15 minutes.

Of very many only the newest: a job that comes twice does so within seconds, and the server's fence decides anyway.
"""

from collections import OrderedDict
from typing import Literal, NamedTuple

from spaces_worker_agent.attempts import Key

REMEMBER_S = 15 * 60.0
REMEMBER_REQUESTS = 50_000

Why = Literal["settled", "cancelled"]


class Known(NamedTuple):
    """The newest attempt at a request that is over."""

    attempt: int
    at: float
    why: Why


class FinishedMemory:
    """Pure; the spool writes what it learns and gives it back after a restart.

    Attempts only rise, so the newest one says enough: older ones never run again either.
    """

    def __init__(self) -> None:
        self._known: OrderedDict[str, Known] = OrderedDict()
        self.fresh: list[tuple[Key, Why]] = []  # not written to disk yet

    def knows(self, key: Key, now: float) -> bool:
        """Whether this attempt, or a newer one, is over."""
        self._forget(now)
        known = self._known.get(key.request_id)
        return known is not None and known.attempt >= key.attempt

    def cancelled(self, key: Key, now: float) -> bool:
        """Whether a cancel for this attempt came before its job."""
        self._forget(now)
        known = self._known.get(key.request_id)
        return known is not None and known.attempt == key.attempt and known.why == "cancelled"

    def remember(self, key: Key, now: float, why: Why) -> None:
        """The attempt is over for good, or was cancelled before its job came (a tombstone)."""
        if self.restore(key, now, why):
            self.fresh.append((key, why))
        self._forget(now)

    def restore(self, key: Key, at: float, why: Why) -> bool:
        """What an earlier run of this agent remembered; `at` may lie before this clock's zero."""
        known = self._known.get(key.request_id)
        if known is not None and known.attempt > key.attempt:
            return False
        self._known[key.request_id] = Known(key.attempt, at, why)
        self._known.move_to_end(key.request_id)
        return True

    def newest(self) -> list[tuple[Key, Known]]:
        """Everything remembered, oldest first."""
        return [(Key(rid, known.attempt), known) for rid, known in self._known.items()]

    def __len__(self) -> int:
        return len(self._known)

    def _forget(self, now: float) -> None:
        while self._known:
            request_id, known = next(iter(self._known.items()))
            if now - known.at <= REMEMBER_S and len(self._known) <= REMEMBER_REQUESTS:
                return
            del self._known[request_id]
