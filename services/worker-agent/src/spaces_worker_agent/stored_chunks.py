"""From the stream's answers to single messages to one cumulative acknowledgement. Pure."""


class StoredChunks:
    """What of one attempt's chunks is stored without a gap."""

    def __init__(self, first_n: int) -> None:
        self._next = first_n
        self._ahead: dict[int, int] = {}  # start -> end (exclusive) of stored batches after a gap

    def stored(self, n: int, count: int) -> int:
        """A batch is stored; returns the last n up to which all are."""
        self._ahead[n] = max(self._ahead.get(n, 0), n + count)
        while True:
            reached = [start for start in self._ahead if start <= self._next]
            if not reached:
                return self._next - 1
            for start in reached:
                self._next = max(self._next, self._ahead.pop(start))
