"""What a sound says about itself, where its reader would believe it. Pure."""

import struct

from spaces_gateway.files.limits import UnpackLimits, unsafe

MAX_CHANNELS = 256
MAX_RATE = 2_000_000
MAX_BITS = 64


def check_sound(head: bytes, size: int, limits: UnpackLimits) -> None:
    """Refuses headers that no recording has. Problem: file_unsafe."""
    try:
        if head[:4] in (b"RIFF", b"RF64", b"BW64") and head[8:12] == b"WAVE":
            _wav(head)
        elif head.startswith(b"fLaC"):
            _flac(head, size, limits)
        elif head.startswith(b"FORM") and head[8:12] in (b"AIFF", b"AIFC"):
            _aiff(head, size, limits)
    except struct.error:
        return  # it ends within its header: its reader will say so


def _wav(head: bytes) -> None:
    place = 12
    while place + 8 <= len(head):
        name, length = head[place : place + 4], struct.unpack_from("<I", head, place + 4)[0]
        if name == b"fmt ":
            channels, rate, _, _, bits = struct.unpack_from("<HIIHH", head, place + 10)
            _check(channels, rate, bits)
            return
        place += 8 + length + (length & 1)


def _flac(head: bytes, size: int, limits: UnpackLimits) -> None:
    if head[4:5] not in (b"\x00", b"\x80"):
        return  # its facts come first, or it is none
    (bits,) = struct.unpack_from(">Q", head, 18)
    rate, channels = bits >> 44, (bits >> 41 & 7) + 1
    depth, samples = (bits >> 36 & 31) + 1, bits & (1 << 36) - 1
    _check(channels, rate, depth)
    limits.check_unpacked(samples * channels * ((depth + 7) // 8), size)


def _aiff(head: bytes, size: int, limits: UnpackLimits) -> None:
    place = head.find(b"COMM")
    if place < 0:
        return
    channels, frames, depth = struct.unpack_from(">HIH", head, place + 8)
    _check(channels, 1, depth)
    limits.check_unpacked(frames * channels * ((depth + 7) // 8), size)


def _check(channels: int, rate: int, bits: int) -> None:
    if channels > MAX_CHANNELS or rate > MAX_RATE or bits > MAX_BITS:
        raise unsafe(
            f"The sound says it has {channels} channels of {bits} bits at {rate} Hz; "
            f"{MAX_CHANNELS}, {MAX_BITS} and {MAX_RATE} are taken.",
            max_channels=MAX_CHANNELS,
            max_bits=MAX_BITS,
            max_rate=MAX_RATE,
        )
