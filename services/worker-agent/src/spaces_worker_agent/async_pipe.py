"""An end of the pipe between agent and handler process inside an event loop."""

import asyncio
from collections.abc import Callable

from spaces_worker_agent.pipe import PipeClosed, Splitter

Part = bytes | Callable[[], bytes]


class AsyncPipe(asyncio.Protocol):
    """Hands each message over at once; `heard` follows the last one of a read. What is said waits for `flush`."""

    def __init__(
        self,
        hear: Callable[[int, int, bytes], None],
        heard: Callable[[], None],
        ended: Callable[[], None],
    ) -> None:
        self._hear = hear
        self._heard = heard
        self._ended = ended
        self._splitter = Splitter()
        self._transport: asyncio.Transport | None = None
        self._parts: list[Part] = []
        self._flushing = False

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
        self._heard()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._parts.clear()
        self._ended()

    def send(self, part: Part) -> None:
        """Says a message, or what the callable returns at the next flush."""
        if self._transport is not None:
            self._parts.append(part)

    def flush(self) -> None:
        """Writes what was said, together."""
        self._flushing = False
        parts, self._parts = self._parts, []
        if parts and self._transport is not None:
            self._transport.write(
                b"".join([part if isinstance(part, bytes) else part() for part in parts])
            )

    def flush_soon(self) -> None:
        """Writes after everything that is to run in the loop by now."""
        if not self._flushing:
            self._flushing = True
            asyncio.get_running_loop().call_soon(self.flush)

    def close(self) -> None:
        """What was said is still written."""
        if self._transport is not None:
            self.flush()
            self._transport.close()
