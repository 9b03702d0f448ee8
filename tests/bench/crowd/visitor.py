"""One browser: signs in, watches a space, and comes back by the client library's rule whenever its socket breaks."""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, cast

from spaces_client.retry import Patience
from spaces_contracts.frames import PROTOCOL
from tests.bench.load.socket_frames import CLOSE, PING, PONG, TEXT, FrameReader, frame, upgrade

# As the client library waits for a handshake and for `ready`.
_OPEN_S = 30.0
_READY_S = 10.0
_COUNT = b'"connections":'


@dataclass(frozen=True)
class Address:
    """Where to go, and as whom."""

    port: int
    token: str


class Book(Protocol):
    """Who is told what the visitors see."""

    def tried(self) -> None:
        """A connection is being opened."""

    def back(self, visitor: "Visitor") -> None:
        """It is signed in and watches its space."""

    def gone(self, visitor: "Visitor") -> None:
        """It was here, and is no more."""

    def lost(self, reason: str) -> None:
        """It was here, and its socket broke."""

    def failed(self, reason: str) -> None:
        """A try to come did not succeed."""

    def event(self, visitor: "Visitor", number: int) -> None:
        """An event of its space arrived."""


class Visitor:
    """Lives through many connections, one at a time."""

    __slots__ = (
        "_address", "_book", "_connecting", "_connection", "_patience", "_signed_in", "_timer",
        "_tries", "first", "here", "last", "space_id", "wanted",
    )  # fmt: skip

    def __init__(self, address: Address, space_id: str, book: Book) -> None:
        self.space_id = space_id
        self.here = False
        self.wanted = False
        self.first = self.last = 0  # numbers of events: known when it came, and seen last
        self._address = address
        self._book = book
        self._patience = Patience()
        self._tries = 0
        self._signed_in = False
        self._timer: asyncio.TimerHandle | None = None
        self._connection: Connection | None = None
        self._connecting: asyncio.Task[None] | None = None

    def come(self, after_s: float = 0.0) -> None:
        """Wants to be here from now on."""
        self.wanted = True
        self._at(after_s, self._connect)

    def leave(self) -> None:
        """Closes, as a page that is left."""
        self.wanted = False
        self._gone()
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def cut(self) -> None:
        """Its connection is gone at once; it comes back by itself."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.abort()
        self._again()

    # The connection tells

    def opened(self) -> None:
        """The handshake is done."""
        self._signed_in = False
        self._at(_READY_S, self._late)

    def text(self, payload: bytes) -> None:
        """A frame came."""
        if payload.startswith(b'{"type":"space"'):
            self._space(payload)
        elif payload.startswith(b'{"type":"ready"'):
            self._signed_in = True
            self._subscribe()
        elif payload.startswith(b'{"type":"error"') and not self._signed_in:
            self.broke(_code(payload))
        elif payload.startswith(
            b'{"type":"error"'
        ):  # the socket stays; the question is asked again
            self._book.failed(_code(payload))
            self._tries += 1
            self._at(self._pause_s(), self._subscribe)

    def broke(self, reason: str) -> None:
        """The connection cannot be used, or no more."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.abort()
        if self.here:
            self._book.lost(reason)
        else:
            self._book.failed(reason)
        self._again()

    def is_on(self, connection: "Connection") -> bool:
        """Whether this is its connection now."""
        return self._connection is connection

    def _space(self, payload: bytes) -> None:
        if not self.here:
            self.here = True
            self._tries = 0
            self._cancel()
            self._book.back(self)
        at = payload.find(_COUNT)
        if at >= 0:
            digits = payload[at + len(_COUNT) :].split(b",", 1)[0].rstrip(b"}")
            self._book.event(self, int(digits))

    def _subscribe(self) -> None:
        if self._connection is not None:
            self._at(_READY_S, self._late)
            self._connection.say(b'{"type":"subscribe","space_id":"%b"}' % self.space_id.encode())

    def _connect(self) -> None:
        self._book.tried()
        self._at(_OPEN_S, self._late)
        self._connecting = asyncio.get_running_loop().create_task(self._open())

    async def _open(self) -> None:
        connection = self._connection = Connection(self, self._address.token)
        loop = asyncio.get_running_loop()
        try:
            await loop.create_connection(lambda: connection, "127.0.0.1", self._address.port)
        except OSError as error:
            if self.is_on(connection):
                self.broke(type(error).__name__)

    def _late(self) -> None:
        if self._connecting is not None:
            self._connecting.cancel()
        self.broke("late")

    def _again(self) -> None:
        self._gone()
        if self.wanted:
            self._tries += 1
            self._at(self._pause_s(), self._connect)

    def _gone(self) -> None:
        self._cancel()
        if self.here:
            self.here = False
            self._book.gone(self)

    def _pause_s(self) -> float:
        return self._patience.delay(self._tries, random.random())

    def _at(self, after_s: float, what: Callable[[], None]) -> None:
        self._cancel()
        self._timer = asyncio.get_running_loop().call_later(after_s, what)

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class Connection(asyncio.Protocol):
    """One socket of a visitor."""

    __slots__ = ("_head", "_reader", "_token", "_transport", "_visitor")

    def __init__(self, visitor: Visitor, token: str) -> None:
        self._visitor = visitor
        self._token = token
        self._reader = FrameReader()
        self._head: bytes | None = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        if not self._visitor.is_on(self):  # it left, or was cut, while this was being opened
            self._transport.abort()
            return
        self._transport.write(upgrade("/ws", PROTOCOL))

    def connection_lost(self, exc: Exception | None) -> None:
        if self._visitor.is_on(self):
            self._visitor.broke("lost" if exc is None else type(exc).__name__)

    def data_received(self, data: bytes) -> None:
        if not self._visitor.is_on(self) or self._transport is None:
            return
        if self._head is not None:
            self._head += data
            head, found, data = self._head.partition(b"\r\n\r\n")
            if not found:
                return
            self._head = None
            if not head.startswith(b"HTTP/1.1 101"):
                self._visitor.broke(head[9:12].decode())
                return
            self._visitor.opened()
            self.say(b'{"type":"auth","token":"%b"}' % self._token.encode())
        for opcode, payload in self._reader.feed(data):
            if not self._visitor.is_on(self):
                return
            if opcode == TEXT:
                self._visitor.text(payload)
            elif opcode == PING:
                self.say(payload, PONG)
            elif opcode == CLOSE:
                self._visitor.broke(f"closed {int.from_bytes(payload[:2], 'big')}")

    def say(self, payload: bytes, opcode: int = TEXT) -> None:
        """Sends a frame; once closing, nothing."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(frame(payload, opcode))

    def close(self) -> None:
        """Says goodbye and goes, without waiting for an answer."""
        self.say((1000).to_bytes(2, "big"), CLOSE)
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Goes without a word."""
        if self._transport is not None:
            self._transport.abort()


def _code(payload: bytes) -> str:
    _, _, rest = payload.partition(b'"code":"')
    return rest.partition(b'"')[0].decode() or "error"
