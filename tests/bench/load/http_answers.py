"""Reads HTTP/1.1 answers of a kept connection as they arrive: lengths and chunks, nothing that no peer sends."""

from collections.abc import Iterator
from typing import NamedTuple


class Answer(NamedTuple):
    """One answer, or a piece of a streamed one when `done` is false."""

    status: int
    body: bytes
    done: bool = True


class BadAnswer(Exception):
    """Something that is not HTTP, or that this reader does not know."""


class AnswerReader:
    """Feed it what arrived; it gives whole answers, and the pieces of chunked ones at once."""

    __slots__ = ("_buffer", "_chunked", "_left", "_status")

    def __init__(self) -> None:
        self._buffer = b""
        self._status = 0  # of the answer whose body is under way
        self._left = 0
        self._chunked = False

    def feed(self, data: bytes) -> Iterator[Answer]:
        """Everything that is complete now."""
        self._buffer = self._buffer + data if self._buffer else data
        while True:
            if not self._status and not self._head():
                return
            if self._chunked:
                yield from self._pieces()
                if self._chunked:
                    return
            else:
                if len(self._buffer) < self._left:
                    return
                body, self._buffer = self._buffer[: self._left], self._buffer[self._left :]
                status, self._status = self._status, 0
                yield Answer(status, body)
            if not self._buffer:
                return

    def _head(self) -> bool:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return False
        head = self._buffer[:end].lower()
        if not head.startswith(b"http/1.1 "):
            raise BadAnswer(f"not HTTP/1.1: {head[:80]!r}")
        self._status = int(head[9:12])
        self._buffer = self._buffer[end + 4 :]
        at = head.find(b"\r\ncontent-length:")
        if at >= 0:
            stop = head.find(b"\r\n", at + 17)
            self._left = int(head[at + 17 : stop if stop >= 0 else None])
        elif b"\r\ntransfer-encoding: chunked" in head:
            self._chunked = True
        elif self._status in (204, 304):
            self._left = 0
        else:
            raise BadAnswer(f"an answer without a length: {head[:200]!r}")
        return True

    def _pieces(self) -> Iterator[Answer]:
        """The chunks that are here; the last one ends the answer."""
        while True:
            line = self._buffer.find(b"\r\n")
            if line < 0:
                return
            size = int(self._buffer[:line].split(b";")[0], 16)
            end = line + 2 + size
            if len(self._buffer) < end + 2:
                return
            piece = self._buffer[line + 2 : end]
            self._buffer = self._buffer[end + 2 :]
            if size:
                yield Answer(self._status, piece, done=False)
            else:
                status, self._status, self._chunked = self._status, 0, False
                yield Answer(status, b"")
                return


def request(method: str, target: str, headers: dict[str, str], body: bytes = b"") -> bytes:
    """The bytes of a request on a kept connection."""
    lines = [f"{method} {target} HTTP/1.1", "host: 127.0.0.1"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    if body or method != "GET":
        lines.append(f"content-length: {len(body)}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body
