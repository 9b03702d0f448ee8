"""A WebSocket that hands over all frames of one read together, and writes all frames of one turn together."""

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

from websockets.asyncio.client import ClientConnection
from websockets.client import ClientProtocol
from websockets.frames import CloseCode, Frame, Opcode
from websockets.protocol import Event, State


class ConformantProtocol(ClientProtocol):
    """RFC 6455 lets a close frame interrupt a fragmented message (5.4, 5.5.1); the library answers it as an error."""

    def recv_frame(self, frame: Frame) -> None:
        """Called by the library's parser."""
        if frame.opcode is Opcode.CLOSE:
            self.current_size = None
        super().recv_frame(frame)


class FrameSocket(ClientConnection):
    """The library's connection without its queue and its task for each message."""

    def __init__(self, protocol: ClientProtocol, **options: Any) -> None:
        protocol.__class__ = ConformantProtocol  # the library makes it and takes no other class
        super().__init__(protocol, **options)
        self._arrived: list[bytes] = []
        self._pieces: list[bytes] = []  # of a message that comes in several frames
        self._is_text = True  # what the message is that arrives now
        self._refusing: asyncio.Task[None] | None = None
        self._heard: Callable[[list[bytes]], None] | None = None

    async def listen(self, heard: Callable[[list[bytes]], None]) -> None:
        """Calls `heard` with the messages of each read, until the connection ends. Raises ConnectionClosed."""
        self._heard = heard
        self._hand_over()
        await asyncio.shield(self.connection_lost_waiter)
        raise self.protocol.close_exc

    def ignore(self) -> None:
        """Hands nothing over any more."""
        self._heard = None

    def put(self, texts: Iterable[str]) -> bool:
        """Sends messages in order, in one write; False when there should be no more before `send_frames` returns.

        Once the connection is ending they are lost, which `listen` tells.
        """
        protocol = self.protocol
        if protocol.state is not State.OPEN:
            return True
        for text in texts:
            protocol.send_text(text.encode())
        self.transport.write(b"".join(protocol.data_to_send()))
        return not self.paused

    async def send_frames(self, texts: Iterable[str]) -> None:
        """Sends messages in order, in one write. Raises ConnectionClosed."""
        async with self.send_context():
            for text in texts:
                self.protocol.send_text(text.encode())
            self.protocol.writes = [b"".join(self.protocol.writes)]

    def data_received(self, data: bytes) -> None:
        """Called by the event loop."""
        super().data_received(data)
        self._hand_over()

    def process_event(self, event: Event) -> None:
        """Called by the library for each frame."""
        if (
            self.response is None
            or not isinstance(event, Frame)
            or event.opcode not in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT)
        ):
            super().process_event(event)
            return
        if self._refusing is not None:
            return
        if event.opcode is not Opcode.CONT:
            self._is_text = event.opcode is Opcode.TEXT
        self._pieces.append(bytes(event.data))
        if event.fin:
            message = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
            self._pieces.clear()
            self._take(message)

    def _take(self, message: bytes) -> None:
        if self._is_text:
            try:
                str(message, "utf-8")
            except UnicodeDecodeError:  # RFC 6455, 8.1: the connection is over
                closing = self.close(CloseCode.INVALID_DATA, "not UTF-8")
                self._refusing = self.loop.create_task(closing)
                return
        self._arrived.append(message)

    def _hand_over(self) -> None:
        if self._arrived and self._heard is not None:
            arrived, self._arrived = self._arrived, []
            self._heard(arrived)
