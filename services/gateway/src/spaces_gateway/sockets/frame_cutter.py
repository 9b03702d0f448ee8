"""Cuts what a client sends into WebSocket frames (RFC 6455, 5.2), so that plain ones need no parser. Pure.

Nearly all frames are plain: whole, final, masked text. The parser gets all others, and never part of a frame that
is read elsewhere: both always stand between the same two frames.
"""

from typing import NamedTuple

_FINAL_TEXT = 0x81
_MASKED = 0x80
_MASK_BYTES = 4


class Piece(NamedTuple):
    """Bytes as they came. `payload_at` is where the payload of a plain frame begins; 0 for anything else."""

    raw: bytes
    payload_at: int


class FrameCutter:
    """One connection's, after the handshake."""

    __slots__ = ("_head", "_owed", "max_bytes")

    def __init__(self, max_bytes: int) -> None:
        """A frame of more than `max_bytes` is not plain."""
        self.max_bytes = max_bytes
        self._head = b""  # a frame's first bytes, too few to know its length
        self._owed = 0  # what is missing of a frame whose beginning was handed out

    def cut(self, data: bytes) -> list[Piece]:
        """The pieces of the next bytes; the first bytes of a frame may be kept for the next call."""
        pieces: list[Piece] = []
        if self._owed:
            rest = data[: self._owed]
            self._owed -= len(rest)
            pieces.append(Piece(rest, 0))
            data = data[len(rest) :]
        if self._head:
            data, self._head = self._head + data, b""
        at, length = 0, len(data)
        while at < length:
            payload_at, size = _measure(data, at, length)
            end = payload_at + size
            if payload_at > length:
                self._head = data[at:]
                break
            if end > length:
                self._owed = end - length
                pieces.append(Piece(data[at:], 0))
                break
            plain = data[at] == _FINAL_TEXT and data[at + 1] & _MASKED and size <= self.max_bytes
            pieces.append(Piece(data[at:end], payload_at - at if plain else 0))
            at = end
        return pieces


def _measure(data: bytes, at: int, length: int) -> tuple[int, int]:
    """Where the payload of the frame at `at` begins, and its size; beyond `length` when its head is not whole."""
    if at + 2 > length:
        return length + 1, 0
    size = data[at + 1] & 0x7F
    begin = at + 2 + (_MASK_BYTES if data[at + 1] & _MASKED else 0)
    if size == 126:
        begin += 2
        size = int.from_bytes(data[at + 2 : at + 4], "big")
    elif size == 127:
        begin += 8
        size = int.from_bytes(data[at + 2 : at + 10], "big")
    return begin, size
