"""Files that are not what they say, or become more than they are; and honest ones."""

import bz2
import functools
import gzip
import io
import lzma
import struct
import zipfile
import zlib
from collections.abc import Iterator

MIB = 1024 * 1024
# The limits that the attacked gateway was started with.
ENVIRON = {
    "SPACES_GATEWAY_MAX_FILE_BYTES": str(8 * MIB),
    "SPACES_GATEWAY_MAX_IMAGE_PIXELS": "50000000",
    "SPACES_GATEWAY_MAX_UNPACKED_BYTES": str(256 * MIB),
}


def png(width: int = 2, height: int = 2) -> bytes:
    """A header that a decoder would believe."""
    ihdr = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + ihdr + struct.pack(">I", zlib.crc32(ihdr))
    return body + b"\0\0\0\0IEND\xaeB`\x82"


def jpeg(width: int = 2, height: int = 2) -> bytes:
    """One frame."""
    start = b"\xff\xd8\xff\xe0\0\x10JFIF\0\x01\x01\0\0\x01\0\x01\0\0"
    return (
        start + b"\xff\xc0" + struct.pack(">HBHHB", 11, 8, height, width, 1) + b"\x01\x11\0\xff\xd9"
    )


def gif(width: int = 2, height: int = 2) -> bytes:
    """Without a picture."""
    return b"GIF89a" + struct.pack("<HH", width, height) + b"\0\0\0;"


def webp(width: int = 2, height: int = 2) -> bytes:
    """Lossless."""
    bits = struct.pack("<I", (width - 1) | (height - 1) << 14)
    return b"RIFF\x1a\0\0\0WEBPVP8L\x0d\0\0\0\x2f" + bits + bytes(8)


def bmp(width: int = 2, height: int = 2) -> bytes:
    """Without rows."""
    return (
        b"BM\x46\0\0\0\0\0\0\0\x36\0\0\0"
        + struct.pack("<IiiHHI", 40, width, height, 1, 24, 0)
        + bytes(20)
    )


def tiff(width: int = 2, height: int = 2) -> bytes:
    """One directory."""
    tags = ((256, 4, width), (257, 4, height))
    table = b"".join(struct.pack("<HHII", tag, form, 1, value) for tag, form, value in tags)
    return b"II*\0\x08\0\0\0" + struct.pack("<H", 2) + table + bytes(4)


def wav(channels: int = 1, rate: int = 16_000, bits: int = 16) -> bytes:
    """Silence."""
    fmt = struct.pack("<HHIIHH", 1, channels, rate, 32_000, 2, bits)
    return b"RIFF\x44\0\0\0WAVEfmt \x10\0\0\0" + fmt + b"data\x20\0\0\0" + bytes(32)


def flac(samples: int = 100) -> bytes:
    """Its first block."""
    facts = 48_000 << 44 | 1 << 41 | 15 << 36 | samples
    return b"fLaC\0\0\0\x22" + bytes(10) + struct.pack(">Q", facts) + bytes(60)


def zipped(*entries: tuple[str, bytes]) -> bytes:
    """A zip of these."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries:
            info = zipfile.ZipInfo("x")
            info.filename, info.compress_type = name, zipfile.ZIP_DEFLATED
            archive.writestr(info, content)
    return made.getvalue()


ELF = b"\x7fELF\x02\x01\x01" + bytes(57) + b"\x90" * 64
PE = (
    b"MZ\x90\0\x03\0\0\0"
    + bytes(52)
    + b"\x80\0\0\0"
    + b"This program cannot be run in DOS mode."
    + bytes(40)
)
SCRIPT = b"#!/bin/sh\nrm -rf /\n"
HTML = b"<!DOCTYPE html><html><script>alert(document.cookie)</script></html>"
SQLITE = b"SQLite format 3\0" + bytes(100)
PDF = b"%PDF-1.4\n%\xe2\xe3\n1 0 obj<</Type/Catalog>>endobj\n"

CONTENTS = {
    "elf": ELF, "exe": PE, "script": SCRIPT, "html": HTML, "sqlite": SQLITE, "pdf": PDF, "png": png(),
    "jpeg": jpeg(), "gif": gif(), "wav": wav(), "zip": zipped(("a.txt", b"a")), "gzip": gzip.compress(b"a"),
}  # fmt: skip
# What may say it is what.
TYPES = {
    "image/png": {"png"}, "image/jpeg": {"jpeg"}, "image/gif": {"gif"}, "image/webp": set(), "image/bmp": set(),
    "image/tiff": set(), "image/heic": set(), "image/svg+xml": set(), "audio/wav": {"wav"}, "audio/mpeg": set(),
    "audio/flac": set(), "audio/ogg": set(), "video/mp4": set(), "video/webm": set(), "video/quicktime": set(),
    "application/pdf": {"pdf"}, "application/zip": {"zip"}, "application/gzip": {"gzip"},
    "application/x-7z-compressed": set(), "application/msword": set(), "application/x-xz": set(),
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": {"zip"},
    "text/plain": {"script", "html", "pdf"}, "text/csv": {"script", "html", "pdf"},
    "application/json": {"script", "html", "pdf"},
}  # fmt: skip


def lies() -> Iterator[tuple[str, str, bytes]]:
    """Name, declared type and content: each type with each content that it is not."""
    for media_type, true in TYPES.items():
        for name, content in CONTENTS.items():
            if name not in true:
                yield f"{name} as {media_type}", media_type, content


def honest() -> Iterator[tuple[str, str, bytes]]:
    """Each type with content of it."""
    for media_type, true in TYPES.items():
        for name in true:
            yield f"{name} as {media_type}", media_type, CONTENTS[name]
    yield "large but allowed image", "image/png", png(7000, 7000)
    yield "well packed text", "application/zip", zipped(("log.txt", b"line of a log\n" * 1_000_000))


@functools.cache
def bombs() -> tuple[tuple[str, str, bytes], ...]:
    """Name, declared type and content of files that become too much."""
    return tuple(_bombs())


def _bombs() -> Iterator[tuple[str, str, bytes]]:
    sizes = ((65_000, 65_000), (8_000, 8_000), (1_000, 60_000))
    makers = {"png": png, "jpeg": jpeg, "gif": gif, "bmp": bmp, "tiff": tiff}
    for kind, make in makers.items():
        for width, height in sizes:
            yield f"{kind} of {width} x {height}", f"image/{kind}", make(width, height)
    yield "png of 2^31 x 2^31", "image/png", png((1 << 31) - 1, (1 << 31) - 1)
    yield "webp of 16384 x 16384", "image/webp", webp(16_384, 16_384)
    yield "png without a type", "", png(65_000, 65_000)
    zeros = bytes(100 * MIB)
    packed = {
        "zip": ("application/zip", zipped(("zeros", zeros))),
        "docx": (
            "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
            zipped(("[Content_Types].xml", b"<x/>"), ("word/document.xml", zeros)),
        ),
        "gzip": ("application/gzip", gzip.compress(zeros)),
        "gzip behind an empty one": ("application/gzip", gzip.compress(b"") + gzip.compress(zeros)),
        "bzip2": ("application/x-bzip2", bz2.compress(zeros)),
        "xz": ("application/x-xz", lzma.compress(zeros)),
    }
    for name, (media_type, content) in packed.items():
        yield f"{name} bomb", media_type, content
        yield f"{name} bomb without a type", "application/octet-stream", content
    yield "gzip that says 4 GiB", "application/gzip", gzip.compress(b"a" * 100)[:-4] + b"\xff" * 4
    yield (
        "zstd that says 2^60",
        "application/zstd",
        b"\x28\xb5\x2f\xfd\xe0" + struct.pack("<Q", 1 << 60) + bytes(9),
    )
    yield "zip in a zip", "application/zip", zipped(("a.zip", zipped(("b", b"c"))))
    yield "42 levels", "application/zip", _levels(42)
    for name in ("../../etc/cron.d/x", "/etc/passwd", "..\\..\\x.exe", "C:\\x", "a/../../b"):
        yield f"zip with {name}", "application/zip", zipped((name, b"x"))
    whole = zipped(("a", b"x" * 200), ("b", b"y" * 200))
    yield "zip without its end", "application/zip", whole[:-30]
    yield "zip of one kernel", "application/zip", _overlapped(whole)
    yield "wav of 65535 channels", "audio/wav", wav(channels=65_535)
    yield "wav at 4 GHz", "audio/wav", wav(rate=4_000_000_000)
    yield "flac of years", "audio/flac", flac((1 << 36) - 1)
    laughs = b'<!DOCTYPE l [<!ENTITY a "haha"><!ENTITY b "&a;&a;&a;&a;">]>'
    yield "svg of laughs", "image/svg+xml", b"<?xml version='1.0'?>" + laughs + b"<svg>&b;</svg>"
    yield "xml of laughs", "application/xml", b"<?xml version='1.0'?>" + laughs + b"<l>&b;</l>"


def _levels(count: int) -> bytes:
    content = zipped(("core", bytes(MIB)))
    for number in range(count):
        content = zipped((f"level{number}.zip", content))
    return content


def _overlapped(whole: bytes) -> bytes:
    at = whole.rfind(b"PK\x01\x02")
    return whole[: at + 42] + bytes(4) + whole[at + 46 :]
