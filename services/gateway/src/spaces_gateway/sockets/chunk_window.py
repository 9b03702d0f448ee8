"""Which chunks of one attempt are stored: what the cumulative acknowledgement may say."""


class ChunkWindow:
    """Chunks come in order on one socket and are stored in any order."""

    __slots__ = ("_highest", "_waiting")

    def __init__(self) -> None:
        self._waiting: dict[int, int] = {}  # first n of a frame -> how often it waits to be stored
        self._highest = 0

    def received(self, n: int, count: int) -> None:
        """A frame with chunks n … n+count-1 is on its way to the stream."""
        self._waiting[n] = self._waiting.get(n, 0) + 1
        self._highest = max(self._highest, n + count - 1)

    def stored(self, n: int) -> None:
        """The frame that begins with chunk n is stored."""
        left = self._waiting.get(n, 0) - 1
        if left > 0:
            self._waiting[n] = left
        else:
            self._waiting.pop(n, None)

    @property
    def acknowledged(self) -> int:
        """All chunks up to this one are stored; 0 when none is known to be.

        What came before the first frame of this socket was acknowledged on an earlier one, or it would be sent again.
        """
        return min(self._waiting) - 1 if self._waiting else self._highest

    @property
    def empty(self) -> bool:
        """Whether nothing waits to be stored."""
        return not self._waiting
