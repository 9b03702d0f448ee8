"""What one connection may cost before anybody knows whose it is: bytes of headers, time, and how much waits.

uvicorn bounds none of this: it would hold 10 MiB of headers, and a head or a body that comes a byte at a time for ever.
Bounds are checked on what arrives; times are looked at once a second, and only of connections in the middle of
something, so an idle one and a request that came in one piece cost nothing.
"""

from dataclasses import dataclass
from typing import Any, cast

import httptools
from pydantic_core import to_json
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

from spaces_chassis.clock import Clock
from spaces_chassis.metrics import Metrics
from spaces_contracts.problems import Code, Problem
from spaces_gateway.http.one_write import OneWriteProtocol
from spaces_gateway.http.problems import MEDIA_TYPE, problem_document

LINGER_S = 1.0


@dataclass(frozen=True)
class HttpBounds:
    """Bounds of one connection, and how many there may be."""

    connections: int = 20_000
    head_bytes: int = 64 * 1024
    headers: int = 100
    address_bytes: int = 16 * 1024
    pipelined: int = 32  # requests that came before the one in front of them was answered
    head_s: float = (
        10.0  # from the connection, or a request's first byte, to the end of its headers
    )
    # A body may be silent for so long, and earns time by what arrives: on average it must not be slower than this.
    body_s: float = 30.0
    body_bytes_per_s: int = 1024
    unread_s: float = 120.0  # an answer of which nothing is taken


class Watch:
    """Connections in the middle of something, looked at each second. Shared by those of a process."""

    every_s = 1.0

    def __init__(self, bounds: HttpBounds, clock: Clock, metrics: Metrics) -> None:
        self.bounds = bounds
        self.clock = clock
        self.reading: set[BoundedProtocol] = set()
        self.unread: set[BoundedProtocol] = set()
        cut = metrics.counter(
            "spaces_http_connections_cut_total", "HTTP connections that were ended by us", ["why"]
        )
        self._cut = {why: cut.labels(why) for why in ("full", "headers", "malformed", "pipeline",
                                                      "slow_head", "slow_body", "unread")}  # fmt: skip

    def protocol(self) -> "type[BoundedProtocol]":
        """What uvicorn is given as `http=`."""
        return type("WatchedProtocol", (BoundedProtocol,), {"watch": self})

    def cut(self, why: str) -> None:
        """Counts an end."""
        self._cut[why].inc()

    async def step(self) -> int:
        """Ends who takes too long; how many that were."""
        now = self.clock.monotonic()
        late = [connection for connection in self.reading if connection.is_late(now)]
        stuck = [one for one in self.unread if now - one.unread_since >= self.bounds.unread_s]
        for connection in late:
            connection.end_late()
        for connection in stuck:
            self.cut("unread")
            connection.transport.abort()
        return len(late) + len(stuck)


class _Refused(Exception):
    """Raised out of the parser's callbacks: the request is answered and its connection closed."""


class BoundedProtocol(OneWriteProtocol):
    """uvicorn's HTTP connection with bounds. Made by `Watch.protocol`."""

    watch: Watch

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.in_head = True
        self.watched = False
        self.refusal: tuple[str, Problem] | None = None
        self.since_s = 0.0  # when the head began to arrive
        self.credit_s = 0.0  # how long the body may be silent
        self.looked_s = 0.0
        self.received = 0  # bytes of the last read
        self.unparsed = 0  # bytes since the head began, or since the body last grew
        self.unread_since = 0.0

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        if len(self.connections) > self.watch.bounds.connections:
            self.refuse(
                "full", Problem(code=Code.TOO_MANY_CONNECTIONS, message="This gateway is full.")
            )
            return
        self._begin(in_head=True)

    def connection_lost(self, exc: Exception | None) -> None:
        self.watch.reading.discard(self)
        self.watch.unread.discard(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        if self.refusal is not None:
            return
        self.received = len(data)
        self.unparsed += self.received
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            if self._should_upgrade():
                self.handle_websocket_upgrade()
            else:
                self._unsupported_upgrade_warning()
            return
        except httptools.HttpParserError:
            self._malformed()
            return
        cycle = cast("RequestResponseCycle | None", self.cycle)
        if cycle is None or cycle.scope is not self.scope:
            self._go_on(in_head=True)
        elif cycle.more_body and not cycle.response_complete:
            self._go_on(in_head=False)
        else:
            self.unparsed = 0
            if self.watched:
                self._whole()

    def on_headers_complete(self) -> None:
        bounds = self.watch.bounds
        if (
            len(self.headers) > bounds.headers
            or len(self.url) > bounds.address_bytes
            # What came with it may be its body: only then is it worth a closer look.
            or (self.unparsed > bounds.head_bytes and self._head_bytes() > bounds.head_bytes)
        ):
            self.refusal = ("headers", Problem(code=Code.HEADERS_TOO_LARGE))
            raise _Refused
        if len(self.pipeline) >= bounds.pipelined:
            message = "Wait for answers before sending more on one connection."
            self.refusal = ("pipeline", Problem(code=Code.INVALID_REQUEST, message=message))
            raise _Refused
        OneWriteProtocol.on_headers_complete(self)

    def on_body(self, body: bytes) -> None:
        self.unparsed = 0
        OneWriteProtocol.on_body(self, body)

    def handle_websocket_upgrade(self) -> None:
        self._whole()
        super().handle_websocket_upgrade()

    def pause_writing(self) -> None:
        self.unread_since = self.watch.clock.monotonic()
        self.watch.unread.add(self)
        super().pause_writing()

    def resume_writing(self) -> None:
        self.watch.unread.discard(self)
        super().resume_writing()

    def is_late(self, now: float) -> bool:
        """Whether what is being read comes too slowly. Time in which we do not read does not count."""
        waited_s, self.looked_s = now - self.looked_s, now
        if self.flow.read_paused:
            self.since_s += waited_s
        else:
            self.credit_s -= waited_s
        if self.in_head:
            return now - self.since_s >= self.watch.bounds.head_s
        return self.credit_s <= 0

    def end_late(self) -> None:
        """Ends the connection; who has begun a request hears why."""
        self._whole()
        if not self.in_head:
            self.watch.cut("slow_body")
            self.transport.abort()  # the application hears that the client left
        elif self.unparsed:
            message = f"The headers did not come within {self.watch.bounds.head_s:g} seconds."
            self.refuse("slow_head", Problem(code=Code.REQUEST_TIMEOUT, message=message))
        else:
            self.watch.cut("slow_head")
            self.transport.close()

    def refuse(self, why: str, problem: Problem) -> None:
        """Answers, if no other answer is under way, and closes."""
        self.refusal = (why, problem)
        self.watch.cut(why)
        self._whole()
        before = cast("RequestResponseCycle | None", self.cycle)
        if before is not None and not before.response_complete:
            self.transport.abort()
            return
        body = to_json(problem_document(problem, "/"))
        head = b"content-type: %s\r\ncontent-length: %d\r\nconnection: close\r\n\r\n"
        status = STATUS_LINE[problem.kind.status]
        self.transport.write(status + head % (MEDIA_TYPE.encode(), len(body)) + body)
        if self.transport.can_write_eof():
            # A client that is still sending would get a reset before it reads the answer: what it sends is dropped.
            self.transport.write_eof()
            self.loop.call_later(LINGER_S, self.transport.abort)
        else:
            self.transport.close()

    def _head_bytes(self) -> int:
        return sum(len(name) + len(value) + 4 for name, value in self.headers)

    def _begin(self, *, in_head: bool) -> None:
        self.in_head = in_head
        self.since_s = self.looked_s = self.watch.clock.monotonic()
        self.credit_s = self.watch.bounds.body_s
        self.watched = True
        self.watch.reading.add(self)

    def _whole(self) -> None:
        self.watched = False
        self.watch.reading.discard(self)

    def _go_on(self, *, in_head: bool) -> None:
        bounds = self.watch.bounds
        if not self.watched or self.in_head is not in_head:
            self._begin(in_head=in_head)
        elif not in_head:
            earned_s = self.received / bounds.body_bytes_per_s
            self.credit_s = min(bounds.body_s, self.credit_s + earned_s)
        too_many = in_head and len(self.headers or ()) > bounds.headers
        if (too_many or self.unparsed > bounds.head_bytes) and not self.transport.is_closing():
            self.refuse("headers", Problem(code=Code.HEADERS_TOO_LARGE))

    def _malformed(self) -> None:
        if self.refusal is not None:
            self.refuse(*self.refusal)
        elif not self.transport.is_closing():
            message = "This is no HTTP request."
            self.refuse("malformed", Problem(code=Code.MALFORMED_REQUEST, message=message))
