"""A WebSocket peer that may break every rule: frames are bytes, and whatever comes back is read until the end."""

import base64
import contextlib
import os
import socket
import struct
import zlib
from dataclasses import dataclass, field

from spaces_contracts.frames import PROTOCOL

WAIT_S = 20.0
TEXT, BINARY, CLOSE, PING, PONG, CONT = 0x1, 0x2, 0x8, 0x9, 0xA, 0x0


def frame(
    opcode: int,
    payload: bytes = b"",
    *,
    fin: bool = True,
    reserved: int = 0,
    masked: bool = True,
    length: int | None = None,
) -> bytes:
    """One frame; `length` lies about the size, and is written in eight bytes then."""
    first = bytes([(0x80 if fin else 0) | reserved << 4 | opcode])
    bit = 0x80 if masked else 0
    if length is not None:
        head = first + bytes([bit | 127]) + struct.pack("!Q", length)
    elif len(payload) < 126:
        head = first + bytes([bit | len(payload)])
    elif len(payload) < 65536:
        head = first + bytes([bit | 126]) + struct.pack("!H", len(payload))
    else:
        head = first + bytes([bit | 127]) + struct.pack("!Q", len(payload))
    if not masked:
        return head + payload
    mask = zlib.crc32(payload, 1).to_bytes(
        4, "big"
    )  # the same each time: a failure can be replayed
    repeated = mask * (len(payload) // 4 + 1)
    return head + mask + bytes(a ^ b for a, b in zip(payload, repeated, strict=False))


def closing(code: int, reason: bytes = b"") -> bytes:
    """A close frame."""
    return frame(CLOSE, struct.pack("!H", code) + reason)


@dataclass
class Heard:
    """What the server sent until it hung up."""

    frames: list[tuple[int, bytes]] = field(default_factory=list)
    rest: bytes = b""  # bytes that are no whole frame

    @property
    def close_code(self) -> int | None:
        """The code of its close frame; 1005 when it has none."""
        for opcode, payload in self.frames:
            if opcode == CLOSE:
                return int(struct.unpack("!H", payload[:2])[0]) if len(payload) >= 2 else 1005
        return None


class RawSocket:
    """Connected and upgraded; blocking."""

    def __init__(self, port: int, path: str, *, at_once: bool = False) -> None:
        """`at_once`: each send is a packet of its own."""
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=WAIT_S)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, at_once)
        key = base64.b64encode(os.urandom(16)).decode()
        self.send(
            (
                f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\n"
                f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\n"
                f"Sec-WebSocket-Protocol: {PROTOCOL}\r\nSec-WebSocket-Version: 13\r\n\r\n"
            ).encode()
        )
        head = b""
        while b"\r\n\r\n" not in head:
            head += self._socket.recv(65536)
        head, _, self._left = head.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101"), head

    def send(self, data: bytes) -> None:
        """Everything, unless the server has hung up."""
        try:
            self._socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            return

    def next(self) -> tuple[int, bytes]:
        """The next frame."""
        while (found := _first(self._left)) is None:
            came = self._socket.recv(65536)
            assert came, "the server hung up"
            self._left += came
        opcode, payload, self._left = found
        return opcode, payload

    def ended(self, *, by_server: bool = False) -> Heard:
        """Says that nothing more comes, unless the server must end it, and reads to the end."""
        if not by_server:
            with contextlib.suppress(OSError):  # it has hung up
                self._socket.shutdown(socket.SHUT_WR)
        heard, answered = Heard(rest=self._left), False
        with contextlib.suppress(ConnectionResetError):  # it did not read all of ours, and hung up
            while True:
                while (found := _first(heard.rest)) is not None:
                    opcode, payload, heard.rest = found
                    heard.frames.append((opcode, payload))
                if heard.close_code is not None and not answered:
                    answered = True
                    self.send(frame(CLOSE))  # or it waits a while for our half of the handshake
                came = self._socket.recv(65536)
                if not came:
                    break
                heard.rest += came
        self.close()
        return heard

    def close(self) -> None:
        """Hangs up."""
        self._socket.close()


def _first(data: bytes) -> tuple[int, bytes, bytes] | None:
    """The first frame of a server, which never masks: opcode, payload, what follows."""
    if len(data) < 2:
        return None
    size, at = data[1] & 0x7F, 2
    if size == 126:
        size, at = int.from_bytes(data[2:4], "big"), 4
    elif size == 127:
        size, at = int.from_bytes(data[2:10], "big"), 10
    if len(data) < at + size or len(data) < at:
        return None
    return data[0] & 0x0F, data[at : at + size], data[at + size :]
