"""Connections that walk through a flow: the cheapest that asyncio can do."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, cast

from tests.bench.load.flow import IDLE, Steps, Wrong
from tests.bench.load.http_answers import AnswerReader, BadAnswer
from tests.bench.load.recorder import Recorder
from tests.bench.load.socket_frames import CLOSE, PING, PONG, TEXT, FrameReader, frame

_AFTER_ERROR_S = 0.1


class Arrivals:
    """Open loop: requests that are due, and clients that are free."""

    def __init__(self) -> None:
        self._due: deque[float] = deque()
        self._free: deque[Walker] = deque()

    def arrive(self, due: float) -> None:
        """A request is due; whoever is free sends it, else it waits, and its waiting counts."""
        if self._free:
            self._free.popleft().step(due)
        else:
            self._due.append(due)

    def free(self, walker: "Walker") -> float | None:
        """The client is free: a request that waits, or None."""
        if self._due:
            return self._due.popleft()
        self._free.append(walker)
        return None


class Walker(asyncio.Protocol):
    """One connection and the flow on it."""

    def __init__(
        self, steps: Callable[[], Steps], recorder: Recorder, arrivals: Arrivals | None
    ) -> None:
        self._make_steps = steps
        self._steps = steps()
        self._recorder = recorder
        self._arrivals = arrivals
        self._transport: asyncio.Transport | None = None
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.closing = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self.step(None)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.closing and not self.ended.done():
            self._recorder.failed(f"the connection was closed: {exc}")
        if not self.ended.done():
            self.ended.set_result(None)

    def step(self, answer: Any) -> None:
        """Gives the flow what came, and does what it says next."""
        try:
            wanted = self._steps.send(answer)
            while wanted is IDLE and self._arrivals is not None:
                due = self._arrivals.free(self)
                if due is None:
                    return
                wanted = self._steps.send(due)
        except StopIteration:
            self.close()
            return
        except Wrong as error:
            self._recorder.failed(str(error))
            self.start_over()
            return
        if type(wanted) is bytes:
            self.write(wanted)
        elif type(wanted) is float:
            asyncio.get_running_loop().call_later(wanted, self.step, None)

    def start_over(self) -> None:
        """After a wrong answer."""
        self._steps = self._make_steps()
        asyncio.get_running_loop().call_later(_AFTER_ERROR_S, self.step, None)

    def write(self, data: bytes) -> None:
        """Sends at once."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def close(self) -> None:
        """Ends this client."""
        self.closing = True
        if self._transport is not None:
            self._transport.abort()
        if not self.ended.done():
            self.ended.set_result(None)


class HttpWalker(Walker):
    """HTTP/1.1, kept open."""

    def __init__(
        self, steps: Callable[[], Steps], recorder: Recorder, arrivals: Arrivals | None
    ) -> None:
        super().__init__(steps, recorder, arrivals)
        self._reader = AnswerReader()

    def data_received(self, data: bytes) -> None:
        try:
            for answer in self._reader.feed(data):
                self.step(answer)
        except BadAnswer as error:
            self._recorder.failed(str(error))
            self.close()


class SocketWalker(Walker):
    """A WebSocket; the flow's first yield is the handshake, whose answer it does not see."""

    def __init__(
        self, steps: Callable[[], Steps], recorder: Recorder, arrivals: Arrivals | None
    ) -> None:
        super().__init__(steps, recorder, arrivals)
        self._reader = FrameReader()
        self._head: bytes | None = b""

    def start_over(self) -> None:
        self.close()  # what is under way on it cannot be told from what comes next

    def data_received(self, data: bytes) -> None:
        if self._head is not None:
            self._head += data
            head, found, data = self._head.partition(b"\r\n\r\n")
            if not found:
                return
            self._head = None
            if not head.startswith(b"HTTP/1.1 101"):
                self._recorder.failed(f"no socket: {head[:100]!r}")
                self.close()
                return
            self.step(None)
        for opcode, payload in self._reader.feed(data):
            if opcode == TEXT:
                self.step(payload)
            elif opcode == PING:
                self.write(frame(payload, PONG))
            elif opcode == CLOSE:
                self._recorder.failed(f"the server closed the socket: {payload!r}")
                self.close()
