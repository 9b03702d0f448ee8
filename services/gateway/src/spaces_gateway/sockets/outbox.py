"""What waits to be written to one socket: bounded, so that a slow reader costs only itself."""

import asyncio
from collections import deque
from collections.abc import Callable

from spaces_gateway.sockets.limits import OutboxLimits
from spaces_gateway.sockets.wire import Wire

# One write carries up to this much: what collected within one turn of the loop goes out together.
WRITE_BYTES = 64 * 1024
WRITE_MESSAGES = 64


class Outbox:
    """Frames in order. Written once per turn of the loop while the wire takes them, kept while it does not."""

    def __init__(
        self,
        wire: Wire,
        limits: OutboxLimits,
        overflowed: Callable[[], None],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._wire = wire
        self._limits = limits
        self._overflowed = overflowed
        self._loop = loop
        self._frames: deque[bytes] = deque()
        self._bytes = 0
        self._scheduled = False
        self._closed = False
        self._room: asyncio.Future[None] | None = None

    def put(self, frame: bytes) -> None:
        """Queues a frame. Beyond the bounds the socket is given up, once."""
        if self._closed:
            return
        if len(self._frames) >= self._limits.messages or self._bytes >= self._limits.bytes:
            overflowed = self._overflowed
            self.close()
            overflowed()
            return
        self._frames.append(frame)
        self._bytes += len(frame)
        if len(self._frames) >= WRITE_MESSAGES or self._bytes >= WRITE_BYTES:
            self.flush()
        if self._frames and not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._turn)

    def flush(self) -> None:
        """Writes what the wire takes now."""
        while self._frames and self._wire.can_write:
            batch: list[bytes] = []
            size = 0
            while self._frames and size < WRITE_BYTES:
                frame = self._frames.popleft()
                size += len(frame)
                batch.append(frame)
            self._bytes -= size
            self._wire.write(batch)
        if self._room is not None and self.roomy:
            self._room.set_result(None)
            self._room = None

    @property
    def roomy(self) -> bool:
        """Whether a sender that can wait should go on."""
        return self._closed or (
            len(self._frames) < self._limits.messages // 4 and self._bytes < self._limits.bytes // 4
        )

    async def room(self) -> None:
        """Returns when the reader has caught up, or is gone: for senders that read ahead, such as replays."""
        while not self.roomy:
            if self._room is None:
                self._room = self._loop.create_future()
            await asyncio.shield(self._room)

    def close(self) -> None:
        """Drops what waits and takes nothing more."""
        self._closed = True
        self._overflowed = _nothing  # it holds the socket, which holds this outbox
        self._frames.clear()
        self._bytes = 0
        if self._room is not None:
            self._room.set_result(None)
            self._room = None

    def _turn(self) -> None:
        self._scheduled = False
        self.flush()


def _nothing() -> None:
    """Who would hear of it is gone."""
