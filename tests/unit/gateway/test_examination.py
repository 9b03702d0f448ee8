"""What a file would become is read from its header, and refused beyond the limits."""

import bz2
import gzip
import io
import lzma
import struct
import zipfile
import zlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spaces_chassis.errors import ProblemError
from spaces_contracts.problems import Code
from spaces_gateway.files.examination import examine
from spaces_gateway.files.limits import UnpackLimits

MIB = 1024 * 1024
LIMITS = UnpackLimits(image_pixels=1_000_000, unpacked_bytes=256 * MIB)
SMALL, HUGE = (1000, 1000), (1001, 1000)


async def looks(content: bytes, media_type: str = "", limits: UnpackLimits = LIMITS) -> str | None:
    """The text of the refusal, if any."""

    async def read(start: int, end: int) -> bytes:
        assert 0 <= start < end <= len(content)
        return content[start:end]

    try:
        await examine(media_type, len(content), read, limits)
    except ProblemError as error:
        return f"{error.problem.code}: {error.problem.message}"
    return None


# Images


def png(width: int, height: int) -> bytes:
    ihdr = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + ihdr + struct.pack(">I", zlib.crc32(ihdr))


def jpeg(width: int, height: int) -> bytes:
    thumbnail = b"\xff\xe1" + struct.pack(">H", 65_535) + bytes(65_533)
    frame = b"\xff\xc2" + struct.pack(">HBHHB", 8, 8, height, width, 1) + bytes(3)
    return b"\xff\xd8" + b"\xff\xe0\0\x10" + bytes(14) + 3 * thumbnail + b"\xff" + frame


def tiff(order: str, width: int, height: int) -> bytes:
    tags = ((254, 4, 0), (256, 4, width), (257, 4, height))
    packed = b"".join(struct.pack(order + "HHII", tag, form, 1, value) for tag, form, value in tags)
    magic = b"II*\0" if order == "<" else b"MM\0*"
    return (
        magic
        + struct.pack(order + "I", 100_000)
        + bytes(99_992)
        + struct.pack(order + "H", 3)
        + packed
    )


IMAGES: dict[str, Callable[[int, int], bytes]] = {
    "png": png,
    "jpeg": jpeg,
    "gif": lambda w, h: b"GIF89a" + struct.pack("<HH", w, h) + bytes(10),
    "bmp": lambda w, h: b"BM" + bytes(12) + struct.pack("<Iii", 40, w, -h) + bytes(28),
    "bmp of OS/2": lambda w, h: b"BM" + bytes(12) + struct.pack("<IHH", 12, w, h) + bytes(8),
    "psd": lambda w, h: b"8BPS\0\x01" + bytes(6) + b"\0\x03" + struct.pack(">II", h, w) + bytes(4),
    "webp": lambda w, h: b"RIFF\0\0\0\0WEBPVP8 " + bytes(10) + struct.pack("<HH", w, h) + bytes(9),
    "webp lossless": lambda w, h: b"RIFF\0\0\0\0WEBPVP8L\0\0\0\0\x2f"
    + struct.pack("<I", (w - 1) | (h - 1) << 14)
    + bytes(9),
    "webp extended": lambda w, h: b"RIFF\0\0\0\0WEBPVP8X\0\0\0\0\0\0\0\0"
    + (w - 1).to_bytes(3, "little")
    + (h - 1).to_bytes(3, "little"),
    "tiff": lambda w, h: tiff("<", w, h),
    "tiff, big endian": lambda w, h: tiff(">", w, h),
    "avif": lambda w, h: b"\0\0\0\x1cftypavif" + bytes(50) + b"ispe" + struct.pack(">III", 0, w, h),
    "jpeg 2000": lambda w, h: b"\0\0\0\x0cjP  \r\n\x87\n" + b"ihdr" + struct.pack(">II", h, w),
}  # fmt: skip


@pytest.mark.parametrize("kind", IMAGES)
async def test_an_image_of_too_many_pixels_is_refused_by_its_header(kind: str) -> None:
    assert await looks(IMAGES[kind](*SMALL)) is None
    refused = await looks(IMAGES[kind](*HUGE))
    assert refused is not None
    assert refused.startswith(
        f"{Code.FILE_UNSAFE}: The image says it has 1001 x 1000 pixels; 1000000 are"
    )


@given(st.sampled_from(sorted(IMAGES)), st.integers(0, 200), st.binary(max_size=40))
async def test_a_damaged_header_says_nothing_and_breaks_nothing(
    kind: str, at: int, noise: bytes
) -> None:
    whole = IMAGES[kind](*SMALL)
    await looks(whole[: max(1, at)])
    await looks(whole[:at] + noise + whole[at + len(noise) :])


# Archives


def zipped(*entries: tuple[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", method) as archive:
        for name, content in entries:
            info = zipfile.ZipInfo("x")
            info.filename, info.compress_type = name, method
            archive.writestr(info, content)
    return made.getvalue()


async def test_a_plain_archive_is_taken_as_is_one_behind_something_else() -> None:
    plain = zipped(("word/document.xml", b"<w/>" * 1000), ("a/b.txt", b"x"))
    assert await looks(plain) is None
    assert await looks(b"PK\x03\x04 a stub" + plain) is None
    assert await looks(zipped()) is None


async def test_an_archive_that_unpacks_to_far_more_is_refused() -> None:
    bomb = zipped(("zeros", bytes(100 * MIB)))
    assert "times its size; 200 times are taken" in str(await looks(bomb))
    many = zipped(*((f"{n}", bytes(9 * MIB)) for n in range(30)))
    assert "unpacks to 283115520 bytes; 268435456 are taken" in str(await looks(many))


async def test_a_small_archive_may_be_packed_well() -> None:
    assert await looks(zipped(("zeros", bytes(60 * MIB)))) is None


async def test_sizes_of_zip64_are_read() -> None:
    whole = bytearray(zipped(("zeros", b"x")))
    at = whole.rfind(b"PK\x01\x02")
    name_end = at + 46 + 5
    whole[at + 24 : at + 28] = b"\xff" * 4
    whole[at + 30 : at + 32] = struct.pack("<H", 12)
    whole[name_end:name_end] = struct.pack("<HHQ", 1, 8, 1 << 50)
    end = whole.rfind(b"PK\x05\x06")
    length = struct.unpack_from("<I", whole, end + 12)[0]
    whole[end + 12 : end + 16] = struct.pack("<I", length + 12)
    assert "unpacks to 1125899906842624 bytes" in str(await looks(bytes(whole)))


async def test_entries_that_lie_over_each_other_are_refused() -> None:
    """The bomb of one kernel that every entry shares."""
    whole = bytearray(zipped(("a", b"x" * 100), ("b", b"y" * 100)))
    second = whole.rfind(b"PK\x01\x02")
    whole[second + 42 : second + 46] = bytes(4)
    assert "lie over each other" in str(await looks(bytes(whole)))


@pytest.mark.parametrize("name", ["a.zip", "deep/b.TAR.GZ", "c.7z", "d.jar", "e.tgz", "f.xz"])
async def test_an_archive_in_an_archive_is_refused_unless_it_is_allowed(name: str) -> None:
    nested = zipped((name, b"x"))
    assert "holds an archive" in str(await looks(nested))
    assert await looks(nested, limits=UnpackLimits(nested_archives=True)) is None


@pytest.mark.parametrize("name", ["../a", "a/../../b", "/etc/passwd", "..\\a", "C:\\a", "\\\\h\\a"])
async def test_an_archive_whose_entries_lead_elsewhere_is_refused(name: str) -> None:
    assert "leads elsewhere" in str(await looks(zipped((name, b"x"))))


async def test_an_archive_without_its_directory_is_refused() -> None:
    whole = zipped(("a", b"x" * 1000))
    for cut in (30, len(whole) // 2, len(whole) - 22, len(whole) - 1):
        assert await looks(whole[:cut]) is not None
    assert await looks(whole.replace(b"PK\x01\x02", b"PK\x01\x03")) is not None


async def test_a_directory_that_lies_in_a_comment_is_not_believed() -> None:
    bomb = bytearray(zipped(("zeros", bytes(100 * MIB))))
    harmless = zipped(("a", b"x"))[-22:]
    bomb[-2:] = struct.pack("<H", len(harmless) + 1)
    assert await looks(bytes(bomb) + harmless + b"x") is not None


@given(st.integers(0, 400), st.binary(max_size=30))
async def test_a_damaged_archive_breaks_nothing(at: int, noise: bytes) -> None:
    whole = zipped(("a/b", b"x" * 100), ("c", b"y"))
    await looks(whole[:at] + noise + whole[at + len(noise) :] or b"x")


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress])
async def test_a_stream_that_unpacks_to_far_more_is_refused(pack: object) -> None:
    assert callable(pack)
    assert "times its size" in str(await looks(pack(bytes(100 * MIB))))
    assert await looks(pack(bytes(30 * MIB))) is None
    assert await looks(pack(b"plain text, not much of it")) is None


async def test_empty_parts_before_and_behind_do_not_hide_a_bomb() -> None:
    bomb = gzip.compress(bytes(100 * MIB))
    assert await looks(gzip.compress(b"") + bomb + gzip.compress(b"")) is not None


async def test_a_stream_says_its_size_at_its_end() -> None:
    honest = gzip.compress(bytes(range(256)) * 4096)
    assert await looks(honest) is None
    assert "unpacks to 4278190080 bytes" in str(await looks(honest[:-4] + b"\0\0\0\xff"))


async def test_a_stream_that_cannot_be_read_is_refused() -> None:
    assert "cannot be read" in str(await looks(b"\x1f\x8b\x08\0" + b"\xff" * 60 + bytes(4)))


async def test_a_zstd_frame_says_its_size() -> None:
    frame = b"\x28\xb5\x2f\xfd\xe0"
    assert await looks(frame + struct.pack("<Q", 1000) + bytes(20)) is None
    assert "unpacks to" in str(await looks(frame + struct.pack("<Q", 1 << 40) + bytes(20)))


# Sounds


def wav(channels: int = 2, rate: int = 48_000, bits: int = 16) -> bytes:
    fmt = struct.pack("<HHIIHH", 1, channels, rate, rate * 4 & 0xFFFFFFFF, 4, bits)
    return b"RIFF\x24\0\0\0WAVEfmt \x10\0\0\0" + fmt + b"data\0\0\0\0"


def flac(samples: int) -> bytes:
    facts = 48_000 << 44 | 1 << 41 | 15 << 36 | samples
    return b"fLaC\0\0\0\x22" + bytes(10) + struct.pack(">Q", facts) + bytes(100)


def aiff(frames: int, channels: int = 2) -> bytes:
    comm = b"COMM" + struct.pack(">IHIH", 18, channels, frames, 16) + bytes(10)
    return b"FORM\0\0\0\0AIFF" + comm


async def test_a_sound_with_the_header_of_a_recording_is_taken() -> None:
    for sound in (wav(), wav(channels=64, rate=768_000, bits=32), flac(1000), aiff(1000)):
        assert await looks(sound) is None


@pytest.mark.parametrize(
    "sound",
    [wav(channels=65_535), wav(rate=4_000_000_000), wav(bits=65_535), flac((1 << 36) - 1), aiff(1 << 31),
     aiff(10, channels=40_000)],
)  # fmt: skip
async def test_a_sound_with_an_absurd_header_is_refused(sound: bytes) -> None:
    assert await looks(sound) is not None


# Documents


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
async def test_a_document_that_defines_entities_is_refused(encoding: str) -> None:
    laughs = '<?xml version="1.0"?><!DOCTYPE l [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]><l>&b;</l>'
    assert "entities" in str(await looks(laughs.encode(encoding), "image/svg+xml"))
    assert "entities" in str(await looks(laughs.encode(encoding), "application/octet-stream"))


async def test_a_page_with_a_doctype_is_taken() -> None:
    assert await looks(b"<!DOCTYPE html><p>&amp;</p>", "text/html") is None


@given(st.binary(min_size=1, max_size=300), st.sampled_from(["", "image/png", "application/zip"]))
async def test_any_bytes_are_looked_at_without_an_accident(content: bytes, media_type: str) -> None:
    await looks(content, media_type)
