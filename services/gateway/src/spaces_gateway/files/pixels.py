"""How many pixels an image says it has, read from its header alone. Pure.

What is not understood gives None: then nothing is known, and nothing refused.
"""

import struct
from collections.abc import Awaitable, Callable

Read = Callable[[int, int], Awaitable[bytes]]
"""The bytes from `start` up to (not with) `end`, fewer at the end of the file."""
Size = tuple[int, int]

_MAX_SEGMENTS = 500
_MAX_TAGS = 500
# Start-of-frame markers of JPEG: all of C0..CF but tables and the like.
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_BARE = frozenset({0x01, *range(0xD0, 0xD9)})


async def image_size(head: bytes, read: Read) -> Size | None:
    """Width and height. `head` is how the file begins; more is read where the format needs it."""
    if head.startswith(b"\xff\xd8"):
        return await _jpeg(read)
    if head[:4] in (b"II*\0", b"MM\0*"):
        return await _tiff(head, read)
    for begins, parse in _FIXED.items():
        if head.startswith(begins):
            try:
                return parse(head)
            except struct.error:
                return None
    if head[4:8] == b"ftyp" or head[4:8] == b"jP  ":
        return _boxed(await read(0, 65_536))
    return None


def _png(head: bytes) -> Size | None:
    return struct.unpack_from(">II", head, 16) if head[12:16] == b"IHDR" else None


def _gif(head: bytes) -> Size:
    return struct.unpack_from("<HH", head, 6)


def _bmp(head: bytes) -> Size:
    if struct.unpack_from("<I", head, 14)[0] == 12:
        return struct.unpack_from("<HH", head, 18)
    width, height = struct.unpack_from("<ii", head, 18)
    return abs(width), abs(height)


def _psd(head: bytes) -> Size:
    height, width = struct.unpack_from(">II", head, 14)
    return width, height


def _webp(head: bytes) -> Size | None:
    if head[8:12] != b"WEBP":
        return None
    form = head[12:16]
    if form == b"VP8X":
        return 1 + int.from_bytes(head[24:27], "little"), 1 + int.from_bytes(head[27:30], "little")
    if form == b"VP8L":
        (bits,) = struct.unpack_from("<I", head, 21)
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if form == b"VP8 ":
        width, height = struct.unpack_from("<HH", head, 26)
        return width & 0x3FFF, height & 0x3FFF
    return None


_FIXED: dict[bytes, Callable[[bytes], Size | None]] = {
    b"\x89PNG\r\n\x1a\n": _png,
    b"GIF8": _gif,
    b"BM": _bmp,
    b"8BPS": _psd,
    b"RIFF": _webp,
}


async def _jpeg(read: Read) -> Size | None:
    place = 2
    for _ in range(_MAX_SEGMENTS):
        part = await read(place, place + 9)
        if len(part) < 4 or part[0] != 0xFF:
            return None
        marker = part[1]
        if marker == 0xFF:  # filling
            place += 1
        elif marker in _BARE:
            place += 2
        elif marker in _FRAMES:
            if len(part) < 9:
                return None
            height, width = struct.unpack_from(">HH", part, 5)
            return width, height
        else:
            place += 2 + struct.unpack_from(">H", part, 2)[0]
    return None


async def _tiff(head: bytes, read: Read) -> Size | None:
    order = "<" if head.startswith(b"II") else ">"
    try:
        (place,) = struct.unpack_from(order + "I", head, 4)
        (count,) = struct.unpack(order + "H", await read(place, place + 2))
        count = min(count, _MAX_TAGS)
        table = await read(place + 2, place + 2 + 12 * count)
        found: dict[int, int] = {}
        for start in range(0, 12 * count, 12):
            tag, form = struct.unpack_from(order + "HH", table, start)
            if tag in (256, 257):
                found[tag] = struct.unpack_from(
                    order + ("H" if form == 3 else "I"), table, start + 8
                )[0]
    except struct.error:
        return None
    return (found[256], found[257]) if found.keys() >= {256, 257} else None


def _boxed(head: bytes) -> Size | None:
    """AVIF and HEIC (`ispe`, one for each picture in it), and JPEG 2000 (`ihdr`): the largest."""
    sizes: list[Size] = []
    for name, skip in ((b"ispe", 8), (b"ihdr", 4)):
        place = head.find(name)
        while place >= 0 and place + skip + 8 <= len(head):
            first, second = struct.unpack_from(">II", head, place + skip)
            sizes.append((first, second) if name == b"ispe" else (second, first))
            place = head.find(name, place + 4)
    return max(sizes, key=lambda size: size[0] * size[1], default=None)
