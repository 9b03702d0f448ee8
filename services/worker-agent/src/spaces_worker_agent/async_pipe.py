"""An end of the pipe between agent and handler process inside an event loop."""

import asyncio
from collections.abc import Callable

from spaces_worker_agent.pipe import PipeClosed, Splitter

Part = bytes | Callable[[], bytes]


class AsyncPipe(asyncio.Protocol):
    """Hands each message over at once; what is said in one turn of the loop is written together."""

    def __init__(self, hear: Callable[[int, int, bytes], None], ended: Callable[[], None]) -> None:
        self._hear = hear
        self._ended = ended
        self._loop = asyncio.get_running_loop()
        self._splitter = Splitter()
        self._transport: asyncio.Transport | None = None
        self._parts: list[Part] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        try:
            messages = self._splitter.feed(data)
        except PipeClosed:
            self.close()
            return
        for kind, job, body in messages:
            self._hear(kind, job, body)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._parts.clear()
        self._ended()

    def send(self, part: Part) -> None:
        """Says a message, or what the callable will return when this turn of the loop is over."""
        if self._transport is None:
            return
        if not self._parts:
            self._loop.call_soon(self._flush)
        self._parts.append(part)

    def close(self) -> None:
        """What was said is still written."""
        if self._transport is not None:
            self._flush()
            self._transport.close()

    def _flush(self) -> None:
        parts, self._parts = self._parts, []
        if parts and self._transport is not None:
            self._transport.write(
                b"".join([part if isinstance(part, bytes) else part() for part in parts])
            )
