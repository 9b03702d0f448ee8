"""What an agent and its handler processes say to each other: length, kind, job, body. Standard library only.

A job has a number of its own in each process, so that nothing but the job itself names its request.
"""

import enum
import json
import socket
import struct
import threading
from typing import Any

HEADER = struct.Struct("!IBI")  # bytes of the body, kind, number of the job (0: none)
# Before a job's frame: seconds that are left for it.
REMAINING = struct.Struct("!d")
COUNT = struct.Struct("!Q")
# A job carries at most one frame of the worker socket; an output is refused above that before it is sent.
MAX_BODY_BYTES = 8 * 1_048_576


class Kind(enum.IntEnum):
    """What a message is. Below 10: from the agent."""

    JOB = 1  # seconds left, then the frame `inference_request` as it came
    CANCEL = 2
    FILE = 3
    CREDIT = 4  # up to which chunk all are stored
    FOUND = 10  # the handler exists and is loaded next
    READY = 11
    BROKEN = 12  # the handler could not be found or loaded
    CHUNKS = 13  # one chunk's JSON a line
    PROGRESS = 14
    FETCH = 15
    DONE = 16  # a line of facts, empty when there are none, then the output's JSON
    FAILED = 17


Message = tuple[int, int, bytes]  # kind, job, body


class PipeClosed(Exception):
    """The other process is gone."""


def pack(kind: Kind, job: int, body: bytes = b"") -> bytes:
    """One message as bytes."""
    return HEADER.pack(len(body), kind, job) + body


def pack_json(kind: Kind, job: int, body: Any) -> bytes:
    """One message whose body is JSON."""
    return pack(kind, job, json.dumps(body).encode())


class Splitter:
    """Makes messages of what arrives. Pure."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[Message]:
        """The messages that are complete now. Raises PipeClosed when this is no message."""
        if self._rest:
            data = self._rest + data
        messages: list[Message] = []
        at, end = 0, len(data)
        while end - at >= HEADER.size:
            size, kind, job = HEADER.unpack_from(data, at)
            if size > MAX_BODY_BYTES:
                raise PipeClosed(f"a message of {size} bytes")
            stop = at + HEADER.size + size
            if stop > end:
                break
            messages.append((kind, job, data[at + HEADER.size : stop]))
            at = stop
        self._rest = data[at:]
        return messages


class BlockingPipe:
    """The end of a handler that blocks."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self._splitter = Splitter()
        self._sending = threading.Lock()  # handlers may tell progress from threads of their own

    def send(self, message: bytes) -> None:
        """Blocks while the agent does not read. Raises PipeClosed."""
        try:
            with self._sending:
                self._end.sendall(message)
        except OSError as error:
            raise PipeClosed from error

    def receive(self) -> list[Message]:
        """What comes next, at least one. Raises PipeClosed."""
        while True:
            try:
                data = self._end.recv(1_048_576)
            except OSError as error:
                raise PipeClosed from error
            if not data:
                raise PipeClosed
            messages = self._splitter.feed(data)
            if messages:
                return messages
