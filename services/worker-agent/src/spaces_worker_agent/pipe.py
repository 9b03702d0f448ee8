"""What an agent and its handler processes say to each other: length, kind, body. Standard library only."""

import enum
import json
import socket
import struct
import threading
from typing import Any

HEADER = struct.Struct("!IB")
# A job carries at most one frame of the worker socket; an output is refused above that before it is sent.
MAX_BODY_BYTES = 8 * 1_048_576


class Kind(enum.IntEnum):
    """What a message is. Below 10: from the agent."""

    JOB = 1
    CANCEL = 2
    FILE = 3
    READY = 10
    BROKEN = 11  # the handler could not be found or loaded
    CHUNK = 12  # the body is the chunk's JSON
    PROGRESS = 13
    FETCH = 14
    DONE = 15  # one line of facts, then the output's JSON
    FAILED = 16


class PipeClosed(Exception):
    """The other process is gone."""


def pack(kind: Kind, body: bytes) -> bytes:
    """One message as bytes."""
    return HEADER.pack(len(body), kind) + body


def pack_json(kind: Kind, body: Any) -> bytes:
    """One message whose body is JSON."""
    return pack(kind, json.dumps(body).encode())


class BlockingPipe:
    """The handler's end."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self._sending = threading.Lock()  # handlers may tell progress from threads of their own

    def send(self, message: bytes) -> None:
        """Blocks while the agent does not read: that is the back pressure on chunks."""
        try:
            with self._sending:
                self._end.sendall(message)
        except OSError as error:
            raise PipeClosed from error

    def receive(self) -> tuple[Kind, bytes]:
        """The next message. Raises PipeClosed."""
        size, kind = HEADER.unpack(self._exactly(HEADER.size))
        if size > MAX_BODY_BYTES:
            raise PipeClosed(f"a message of {size} bytes")
        return Kind(kind), self._exactly(size)

    def _exactly(self, size: int) -> bytes:
        parts = bytearray()
        while len(parts) < size:
            try:
                part = self._end.recv(min(size - len(parts), 1_048_576))
            except OSError as error:
                raise PipeClosed from error
            if not part:
                raise PipeClosed
            parts += part
        return bytes(parts)
