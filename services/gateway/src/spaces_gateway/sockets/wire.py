"""The WebSocket back end: uvicorn's sans-IO protocol, made conformant, and made to let go of clients that do not read.

Chosen over wsproto by conformance and load, see ADR-0002. What it changes:

- a close frame inside a fragmented message is answered with a close frame (Autobahn 7.1.5), not as an error;
- a peer that stopped reading is dropped: a missed pong and a close that nobody answers abort the connection,
  because closing would wait for a buffer that never drains;
- little is buffered below the application, so that the bounded outbox is what decides who is slow;
- text frames go to a callback and are written without a task or a queue in between, and plain ones past the parser.
"""

import asyncio
import socket
from collections import deque
from collections.abc import Sequence
from typing import Any, Protocol, cast

import structlog
from uvicorn.config import Config
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState
from websockets import frames
from websockets.exceptions import InvalidState
from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import OPEN
from websockets.server import ServerProtocol

from spaces_gateway.sockets.frame_cutter import FrameCutter

EXTENSION = "spaces.wire"

log = structlog.get_logger(__name__)

# Beyond this many unsent bytes the connection counts as not writable and frames collect in the outbox.
WRITE_HIGH_WATER = 32 * 1024
# What the kernel may hold unsent, so that a slow reader is seen here and not hidden in its buffers.
NOT_SENT_LOW_WATER = 16 * 1024
# A peer whose host vanished is given up after this long, whatever TCP would still try.
TCP_USER_TIMEOUT_MS = 20_000
CLOSE_TIMEOUT_S = 5.0

_apply_mask = frames.apply_mask  # type: ignore[attr-defined]  # the compiled one where there is one


class Sink(Protocol):
    """Who gets what arrives on a socket. All of these are called inline and must not wait."""

    def on_text(self, text: str) -> None: ...

    def on_binary(self, data: bytes) -> None: ...

    def on_writable(self) -> None: ...


class Wire(Protocol):
    """One accepted WebSocket, as the socket drivers use it."""

    @property
    def can_write(self) -> bool:
        """Whether a write now goes to the kernel soon."""
        ...

    def attach(self, sink: Sink) -> None:
        """From now on text frames go to the sink instead of ASGI's `receive`."""
        ...

    def write(self, frames: Sequence[bytes]) -> None:
        """Writes text frames (UTF-8) in one go; does nothing once closing."""
        ...

    def close(self, code: int, reason: str = "") -> None:
        """Starts the closing handshake; a peer that does not answer is aborted."""
        ...

    def abort(self) -> None:
        """Ends the connection now, without a close frame."""
        ...

    def limit(self, frame_bytes: int) -> None:
        """From now on larger messages end the connection with 1009, before they are held."""
        ...

    def pause_reading(self) -> None:
        """Stops taking frames in, so that the sender feels that we are busy."""
        ...

    def resume_reading(self) -> None: ...


class ConformantProtocol(ServerProtocol):
    """RFC 6455 lets a close frame interrupt a fragmented message (5.4, 5.5.1)."""

    def recv_frame(self, frame: Frame) -> None:
        if frame.opcode is Opcode.CLOSE:
            self.current_size = None
        super().recv_frame(frame)

    def forget(self) -> None:
        """The connection is gone. The parser's frame holds this object, which holds the parser."""
        del self.parser


class SpacesWebSocketProtocol(WebSocketsSansIOProtocol):
    """Given to uvicorn as `ws=`; applications find it as a Wire in `scope["extensions"]`."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        # Compression costs 64 KiB a socket and a tenth of the burst CPU; frames are small or already files.
        self.conn: ConformantProtocol = ConformantProtocol(
            max_size=config.ws_max_size, logger=self.logger
        )
        self.close_timeout = CLOSE_TIMEOUT_S
        self.sink: Sink | None = None
        self.cutter = FrameCutter(config.ws_max_size)
        self.in_frames = False  # the first bytes are the handshake
        self.reading_held = False
        self.unread: deque[str] = (
            deque()
        )  # came in one read with the frame after which reading was held

    # Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.transport.set_write_buffer_limits(high=WRITE_HIGH_WATER)
        _tune(self.transport.get_extra_info("socket"))

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.sink = None
        # What is tied in a circle waits for a full garbage collection, and those are rare: a gateway whose clients
        # come and go would grow by 20 KiB with each of them.
        self.conn.forget()
        if hasattr(self, "scope"):
            cast("dict[str, Any]", self.scope["extensions"]).pop(EXTENSION, None)

    def handle_connect(self, event: Request) -> None:
        super().handle_connect(event)
        if not self.handshake_complete:  # else the handshake was refused and there is no scope
            extensions = cast("dict[str, dict[str, Any]]", self.scope["extensions"])
            extensions[EXTENSION] = {"wire": self}

    def resume_writing(self) -> None:
        super().resume_writing()
        if self.sink is not None:
            self.sink.on_writable()

    def keepalive_timeout(self) -> None:
        # A peer that does not answer pings may not read either: a close frame would wait for it.
        self.abort()

    # Messages

    def data_received(self, data: bytes) -> None:
        if not self.in_frames:
            self.in_frames = True
            super().data_received(data)
            return
        for raw, payload_at in self.cutter.cut(data):
            if payload_at and self.takes_plain:
                self._on_text(_apply_mask(raw[payload_at:], raw[payload_at - 4 : payload_at]))
            else:
                super().data_received(raw)

    @property
    def takes_plain(self) -> bool:
        """Whether a whole text frame is a message now: not inside a fragmented one, nor after the end."""
        conn = self.conn
        return (
            self.sink is not None
            and not self.close_sent
            and conn.state is OPEN
            and conn.current_size is None
            and conn.parser_exc is None
        )

    def send_receive_event_to_app(self) -> None:
        if self.sink is None or self.close_sent:
            super().send_receive_event_to_app()
            return
        data = self.frames[0] if len(self.frames) == 1 else b"".join(self.frames)
        self.frames = []
        if self.curr_msg_data_type == "bytes":
            self.sink.on_binary(data)
        else:
            self._on_text(data)

    def _on_text(self, data: bytes) -> None:
        try:
            text = str(data, "utf-8")
        except UnicodeDecodeError:
            self.close(1007, "not UTF-8")
            return
        if self.reading_held:
            self.unread.append(text)
        else:
            self._hand_over(text)

    def _hand_over(self, text: str) -> None:
        if self.sink is None:
            return
        try:
            self.sink.on_text(text)
        except Exception:  # a mistake of ours costs this connection, and its peer learns the code
            log.exception("frame_failed")
            self.close(1011, "internal_error")

    # Wire

    @property
    def can_write(self) -> bool:
        return self.writable.is_set() and not self.closing

    @property
    def closing(self) -> bool:
        return self.close_sent or self.disconnected or self.transport.is_closing()

    def attach(self, sink: Sink) -> None:
        self.sink = sink

    def write(self, frames: Sequence[bytes]) -> None:
        if not self.closing:
            self.transport.write(
                b"".join([part for frame in frames for part in (_head(frame), frame)])
            )

    def close(self, code: int, reason: str = "") -> None:
        if self.closing:
            return
        self.stop_keepalive()
        try:
            self.conn.send_close(code, shorten(reason))
        except InvalidState:  # the peer's own close frame came first
            return
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = True
        self.queue.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason})
        self.resume_reading()
        self.close_timer = self.loop.call_later(self.close_timeout, self.abort)

    def abort(self) -> None:
        self.stop_keepalive()
        self.transport.abort()

    def limit(self, frame_bytes: int) -> None:
        self.conn.max_message_size = frame_bytes
        self.cutter.max_bytes = frame_bytes

    def pause_reading(self) -> None:
        if not self.reading_held and not self.closing:
            self.reading_held = True
            self.transport.pause_reading()

    def resume_reading(self) -> None:
        if not self.reading_held:
            return
        self.reading_held = False
        while self.unread and not self.reading_held and self.sink is not None and not self.closing:
            self._hand_over(self.unread.popleft())
        if not self.reading_held and not self.disconnected:
            self.transport.resume_reading()


def wire_of(scope: Any) -> Wire:
    """The connection behind an ASGI scope. Raises RuntimeError under another back end."""
    extension = scope.get("extensions", {}).get(EXTENSION)
    if extension is None:
        raise RuntimeError("the sockets need uvicorn with ws=SpacesWebSocketProtocol")
    return cast("Wire", extension["wire"])


def shorten(reason: str) -> str:
    """A close frame holds 123 bytes of reason."""
    return reason.encode()[:123].decode(errors="ignore")


def _head(frame: bytes) -> bytes:
    # A final, unmasked text frame (RFC 6455, 5.2); servers never mask.
    size = len(frame)
    if size < 126:
        return bytes((0x81, size))
    if size < 65536:
        return b"\x81\x7e" + size.to_bytes(2, "big")
    return b"\x81\x7f" + size.to_bytes(8, "big")


def _tune(sock: socket.socket | None) -> None:
    if sock is None or sock.family not in (socket.AF_INET, socket.AF_INET6):
        return
    options = (
        ("TCP_NODELAY", 1),
        ("TCP_NOTSENT_LOWAT", NOT_SENT_LOW_WATER),
        ("TCP_USER_TIMEOUT", TCP_USER_TIMEOUT_MS),
    )
    for name, value in options:
        option = getattr(socket, name, None)  # the last two are Linux
        if option is not None:
            sock.setsockopt(socket.IPPROTO_TCP, option, value)
