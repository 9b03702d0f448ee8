"""When something is due for whom: the earliest time of each key. Pure."""

import heapq
from typing import Generic, TypeVar

K = TypeVar("K")


class DueTimes(Generic[K]):
    """A heap in which what was dropped is passed over when its turn comes."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, K]] = []
        self._at: dict[K, float] = {}

    def set(self, key: K, due: float) -> None:
        """Only an earlier time replaces the one that is set."""
        at = self._at.get(key)
        if at is None or due < at:
            self._at[key] = due
            heapq.heappush(self._heap, (due, key))

    def drop(self, key: K) -> None:
        """Nothing is due for it any more."""
        self._at.pop(key, None)

    def take(self, now: float) -> list[K]:
        """Whose time has come; nothing is set for them afterwards."""
        taken = []
        while (due := self.next()) is not None and due <= now:
            key = heapq.heappop(self._heap)[1]
            del self._at[key]
            taken.append(key)
        return taken

    def next(self) -> float | None:
        """The earliest time of all."""
        while self._heap:
            due, key = self._heap[0]
            if self._at.get(key) == due:
                return due
            heapq.heappop(self._heap)
        return None
