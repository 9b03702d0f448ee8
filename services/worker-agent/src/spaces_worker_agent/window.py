"""How much output may be on its way, and how much of it goes into one frame. Pure."""

from collections import deque

WINDOW_CHUNKS = 1024
WINDOW_CHARACTERS = 1_048_576
# A handler hears that chunks are stored when so much is: a part of the window, so that it need not stop.
CREDIT_CHUNKS = WINDOW_CHUNKS // 4
CREDIT_CHARACTERS = WINDOW_CHARACTERS // 4
BATCH_CHUNKS = 256
# A character has four bytes at most, so that a batch is at most half a frame. Single chunks were measured before.
BATCH_CHARACTERS = 131_072


def window_open(chunks: int, size: int) -> bool:
    """Whether a handler may go on yielding while so much is not acknowledged."""
    return chunks < WINDOW_CHUNKS and size < WINDOW_CHARACTERS


class Window:
    """One job's chunks that are not known to be stored, as its handler process counts them."""

    def __init__(self) -> None:
        self._sizes: deque[int] = deque()
        self._size = 0
        self._stored_n = 0

    def sent(self, chunk: bytes) -> bool:
        """A chunk is on its way; whether the next one may follow at once."""
        size = len(chunk) if chunk.isascii() else len(chunk.decode())
        self._sizes.append(size)
        self._size += size
        return self.open

    def stored(self, n: int) -> None:
        """All chunks up to n are stored."""
        while self._stored_n < n and self._sizes:
            self._size -= self._sizes.popleft()
            self._stored_n += 1

    @property
    def open(self) -> bool:
        """Whether the handler may go on yielding."""
        return window_open(len(self._sizes), self._size)


def credit_due(chunks: int, size: int) -> bool:
    """Whether the handler should hear that so much more is stored."""
    return chunks >= CREDIT_CHUNKS or size >= CREDIT_CHARACTERS


def next_batch(chunks: list[str], start: int) -> tuple[str, ...]:
    """As many chunks as fit into one frame, at least one."""
    size = 0
    stop = start
    while stop < len(chunks) and stop - start < BATCH_CHUNKS:
        size += len(chunks[stop])
        if size > BATCH_CHARACTERS and stop > start:
            break
        stop += 1
    return tuple(chunks[start:stop])
