"""How much output may be on its way, and how much of it goes into one frame. Pure."""

WINDOW_CHUNKS = 1024
WINDOW_CHARACTERS = 1_048_576
BATCH_CHUNKS = 256
# A character has four bytes at most, so that a batch is at most half a frame. Single chunks were measured before.
BATCH_CHARACTERS = 131_072


def window_open(chunks: int, size: int) -> bool:
    """Whether a handler may go on yielding while so much is not acknowledged."""
    return chunks < WINDOW_CHUNKS and size < WINDOW_CHARACTERS


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
