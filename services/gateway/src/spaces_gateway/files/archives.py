"""What an archive would become: read from the directory of a zip, and from the first piece of a compressed stream.

Nothing is unpacked beyond a few megabytes into memory, so these are what the file says or how it begins.
"""

import asyncio
import bz2
import lzma
import re
import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple, Protocol

from spaces_gateway.files.limits import FREE_BYTES, UnpackLimits, unsafe
from spaces_gateway.files.pixels import Read

MAX_ENTRIES = 65_536
MAX_DIRECTORY_BYTES = 16 * 1024 * 1024
SAMPLE_BYTES = 65_536
_SAMPLE_OUT = 8 * 1024 * 1024
_PIECE = 512
_STEP = 1024 * 1024  # more than zlib can make of a piece
_END, _END64, _LOCATOR64 = b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07"
_TAIL_BYTES = 65_536 + 22 + 20
_ARCHIVE = re.compile(
    rb"\.(zip|jar|war|ear|apk|gz|tgz|bz2|tbz2?|xz|txz|lzma|zst|tzst|7z|rar|tar|cab|iso)$",
    re.IGNORECASE,
)
_XZ_MEMORY = 128 * 1024 * 1024
_GZIP, _BZIP, _XZ, _ZSTD = b"\x1f\x8b", b"BZh", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd"
STREAMS = (_GZIP, _BZIP, _XZ)


class _Entry(NamedTuple):
    name: bytes
    packed: int
    unpacked: int
    place: int


async def check_zip(size: int, read: Read, limits: UnpackLimits) -> None:
    """Refuses a zip (docx, jar and so on) that is a bomb, leads elsewhere or has no directory. Problem: file_unsafe."""
    start, length, count = await _directory(size, read)
    if count > MAX_ENTRIES or length > MAX_DIRECTORY_BYTES:
        raise unsafe(f"The archive has more than {MAX_ENTRIES} entries.", max_entries=MAX_ENTRIES)
    directory = await read(start, start + length)
    # In a thread: the longest takes a fifth of a second.
    await asyncio.to_thread(_check_entries, directory, count, size, limits)


def _check_entries(directory: bytes, count: int, size: int, limits: UnpackLimits) -> None:
    packed = unpacked = 0
    places: set[int] = set()
    for entry in _entries(directory, count):
        packed += entry.packed
        unpacked += entry.unpacked
        places.add(entry.place)
        _check_entry(entry.name, limits)
    if len(places) < count or packed > size:
        raise unsafe("Entries of the archive lie over each other.")
    limits.check_unpacked(unpacked, size)


def _check_entry(name: bytes, limits: UnpackLimits) -> None:
    parts = re.split(rb"[/\\]", name)
    if b".." in parts or b"\0" in name or re.match(rb"[/\\]|[A-Za-z]:", name):
        raise unsafe(f"The archive has an entry that leads elsewhere: {name[:100]!r}.")
    if not limits.nested_archives and _ARCHIVE.search(name):
        raise unsafe(f"The archive holds an archive, {name[:100]!r}; send what is in it.")


async def _directory(size: int, read: Read) -> tuple[int, int, int]:
    """Where the directory starts, its length, and how many entries it has."""
    tail_at = max(0, size - _TAIL_BYTES)
    tail = await read(tail_at, size)
    at = tail.rfind(_END)
    while at >= 0 and not _ends_at(tail, at):
        at = tail.rfind(_END, 0, at)
    if at < 0:
        raise unsafe("The archive is not whole: it has no directory.")
    count, length, start = struct.unpack_from("<HII", tail, at + 10)
    end = tail_at + at
    if 0xFFFF in (count,) or 0xFFFFFFFF in (length, start):
        if tail[at - 20 : at - 16] != _LOCATOR64:
            raise unsafe("The archive is not whole: it has no directory.")
        (end,) = struct.unpack_from("<Q", tail, at - 12)
        record = await read(end, end + 56)
        if len(record) < 56 or not record.startswith(_END64):
            raise unsafe("The archive is not whole: it has no directory.")
        count, length, start = struct.unpack_from("<QQQ", record, 32)
    shift = end - length - start  # more than 0 when something stands before the archive
    if shift < 0:
        raise unsafe("The archive is not whole: its directory lies outside.")
    return start + shift, length, count


def _ends_at(tail: bytes, at: int) -> bool:
    """Whether the record reaches to the end of the file: another one is part of a comment or of an entry."""
    if at + 22 > len(tail):
        return False
    comment: int = struct.unpack_from("<H", tail, at + 20)[0]
    return at + 22 + comment == len(tail)


def _entries(directory: bytes, count: int) -> Iterator[_Entry]:
    place = 0
    for _ in range(count):
        if directory[place : place + 4] != b"PK\x01\x02" or place + 46 > len(directory):
            raise unsafe("The archive's directory cannot be read.")
        packed, unpacked, name_len, extra_len, note_len = struct.unpack_from(
            "<IIHHH", directory, place + 20
        )
        (at,) = struct.unpack_from("<I", directory, place + 42)
        extra_at = place + 46 + name_len
        name = directory[place + 46 : extra_at]
        extra = directory[extra_at : extra_at + extra_len]
        wide = _wide(extra, [unpacked, packed, at])
        yield _Entry(name, wide[1], wide[0], wide[2])
        place = extra_at + extra_len + note_len


def _wide(extra: bytes, values: list[int]) -> list[int]:
    """The values, those of 0xFFFFFFFF taken from the zip64 field."""
    place = 0
    while place + 4 <= len(extra):
        kind, length = struct.unpack_from("<HH", extra, place)
        place += 4
        if kind == 1:
            field = extra[place : place + length]
            for index, value in enumerate(values):
                if value == 0xFFFFFFFF and len(field) >= 8:
                    (values[index],) = struct.unpack_from("<Q", field)
                    field = field[8:]
        place += length
    return values


class _Decoder(Protocol):
    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


def check_stream(head: bytes, tail: bytes, size: int, limits: UnpackLimits) -> None:
    """Refuses a compressed stream that is a bomb, by how its first piece unpacks. Problem: file_unsafe.

    Costs milliseconds of a thread, and a megabyte or two.
    """
    if head.startswith(_GZIP) and len(tail) >= 4:  # its last part's size, modulo 4 GiB
        limits.check_unpacked(int.from_bytes(tail[-4:], "little"), size)
    taken = made = 0
    while taken < len(head) and made < _SAMPLE_OUT:
        try:
            used, became = _one_part(head[taken:], _SAMPLE_OUT - made)
        except (zlib.error, OSError, EOFError, lzma.LZMAError) as error:
            if made:
                break  # what stands behind the first part may be anything
            raise unsafe(f"The compressed file cannot be read: {error}.") from None
        taken += used
        made += became
    limits.check_unpacked(made * size // max(taken, 1), size)


def _one_part(data: bytes, most: int) -> tuple[int, int]:
    """How much of it was taken, and how much that became; a file may have many parts, empty ones too."""
    decoder: _Decoder
    if data.startswith(_BZIP):
        decoder = bz2.BZ2Decompressor()
    elif data.startswith(_XZ):
        decoder = lzma.LZMADecompressor(memlimit=_XZ_MEMORY)
    else:
        decoder = zlib.decompressobj(31)
    taken = made = 0
    while taken < len(data) and made < most and not decoder.eof:
        piece = data[taken : taken + _PIECE]
        taken += len(piece)
        made += len(decoder.decompress(piece, _STEP))
        # bzip2 makes 45 MB of 40 bytes: what it has not said yet counts too. zlib says all at once.
        while made <= FREE_BYTES and _has_more(decoder):
            made += len(decoder.decompress(b"", _STEP))
    return taken - len(decoder.unused_data), made


def _has_more(decoder: _Decoder) -> bool:
    return not decoder.eof and not getattr(decoder, "needs_input", True)


def check_zstd(head: bytes, size: int, limits: UnpackLimits) -> None:
    """Refuses a zstd file whose first frame says that it is a bomb. Problem: file_unsafe."""
    if len(head) < 5:
        return
    flags = head[4]
    single, form = flags >> 5 & 1, flags >> 6
    length = (1 if single else 0, 2, 4, 8)[form]
    place = 5 + (0 if single else 1) + (0, 1, 2, 4)[flags & 3]
    if length:
        said = int.from_bytes(head[place : place + length], "little") + (256 if form == 1 else 0)
        limits.check_unpacked(said, size)


def is_zip(head: bytes) -> bool:
    """By how it begins."""
    return head.startswith((b"PK\x03\x04", _END, b"PK\x07\x08"))


def is_zstd(head: bytes) -> bool:
    """By how it begins."""
    return head.startswith(_ZSTD)
