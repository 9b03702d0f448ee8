"""The client's half of RFC 6455, as far as a load generator needs it."""

from collections.abc import Iterator

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


class BadFrame(Exception):
    """What no server of ours and no peer sends."""


def frame(payload: bytes, opcode: int = TEXT) -> bytes:
    """A client's frame. Its mask is zero: legal, free here, and to the server a mask like any other."""
    size = len(payload)
    if size < 126:
        head = bytes((0x80 | opcode, 0x80 | size))
    elif size < 65_536:
        head = bytes((0x80 | opcode, 0xFE)) + size.to_bytes(2, "big")
    else:
        head = bytes((0x80 | opcode, 0xFF)) + size.to_bytes(8, "big")
    return head + b"\0\0\0\0" + payload


def upgrade(path: str, subprotocol: str) -> bytes:
    """The opening handshake."""
    return (
        f"GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nupgrade: websocket\r\nconnection: Upgrade\r\n"
        f"sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n"
        f"sec-websocket-protocol: {subprotocol}\r\n\r\n"
    ).encode()


class FrameReader:
    """Feed it what arrived after the handshake; it gives whole frames."""

    __slots__ = ("_buffer",)

    def __init__(self) -> None:
        self._buffer = b""

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """(opcode, payload) of every frame that is complete."""
        buffer = self._buffer + data if self._buffer else data
        at = 0
        while len(buffer) - at >= 2:
            first, size = buffer[at], buffer[at + 1]
            start = at + 2
            if size == 126:
                start += 2
                size = int.from_bytes(buffer[at + 2 : start], "big")
            elif size == 127:
                start += 8
                size = int.from_bytes(buffer[at + 2 : start], "big")
            elif size > 127:
                raise BadFrame("a server's frame is masked")
            if not first & 0x80:
                raise BadFrame("a fragmented message")
            if len(buffer) < start + size:
                break
            yield first & 0x0F, buffer[start : start + size]
            at = start + size
        self._buffer = buffer[at:]
