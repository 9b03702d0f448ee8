"""Looks at a stored file before it counts as stored: what would it become when somebody opens it?"""

import asyncio
import re

from spaces_gateway.files import archives
from spaces_gateway.files.limits import UnpackLimits, unsafe
from spaces_gateway.files.pixels import Read, image_size
from spaces_gateway.files.sounds import check_sound

_BLOCK = 65_536
# Entities that grow with each use: a page of text that becomes gigabytes.
_ENTITY = re.compile(rb"<!ENTITY", re.IGNORECASE)


async def examine(media_type: str, size: int, read: Read, limits: UnpackLimits) -> None:
    """Reads headers, directories and the first piece; never all of it. Problem: file_unsafe."""
    read = _in_blocks(read, size)
    head = await read(0, min(size, _BLOCK))
    if archives.is_zip(head):
        await archives.check_zip(size, read, limits)
    elif archives.is_zstd(head):
        archives.check_zstd(head, size, limits)
    elif head.startswith(archives.STREAMS):
        tail = await read(max(0, size - 4), size)
        await asyncio.to_thread(archives.check_stream, head, tail, size, limits)
    elif found := await image_size(head, read):
        limits.check_pixels(*found)
    else:
        check_sound(head, size, limits)
    if _is_markup(media_type, head) and _ENTITY.search(head.replace(b"\0", b"")):
        raise unsafe("The document defines entities, which may grow without end.")


def _is_markup(media_type: str, head: bytes) -> bool:
    begin = head[:256].replace(b"\0", b"").lstrip(b"\xef\xbb\xbf\xff\xfe \t\r\n").lower()
    return (
        begin.startswith((b"<?xml", b"<!doctype", b"<svg"))
        or media_type.endswith(("/xml", "+xml"))
        or media_type == "text/html"
    )


def _in_blocks(read: Read, size: int) -> Read:
    """Small reads near each other cost one of the store: a header is often walked in steps of a few bytes."""
    held: tuple[int, bytes] = (0, b"")

    async def blocks(start: int, end: int) -> bytes:
        nonlocal held
        end = min(end, size)
        if start >= end:
            return b""
        at, block = held
        if not (at <= start and end <= at + len(block)):
            block = await read(start, min(max(end, start + _BLOCK), size))
            at = start
            held = (at, block)
        return block[start - at : end - at]

    return blocks
