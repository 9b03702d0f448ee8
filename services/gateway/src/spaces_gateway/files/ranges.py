"""The Range header: one range of bytes. Pure."""

import re
from typing import NamedTuple

_RANGE = re.compile(r"^bytes=(\d{0,15})-(\d{0,15})$", re.ASCII)


class ByteRange(NamedTuple):
    """From `start` up to (not with) `end`."""

    start: int
    end: int


def read_range(header: str | None, size: int) -> ByteRange | None:
    """The part asked for; None for the whole.

    What is not one satisfiable range of bytes is ignored, which RFC 9110 (14.2) allows.
    """
    match = _RANGE.match(header.strip()) if header else None
    if match is None:
        return None
    first, last = match.groups()
    if not first:
        length = min(int(last or 0), size)
        return ByteRange(size - length, size) if length else None
    start, end = int(first), int(last) + 1 if last else size
    return ByteRange(start, min(end, size)) if start < min(end, size) else None
