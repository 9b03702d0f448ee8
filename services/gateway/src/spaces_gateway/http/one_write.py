"""The HTTP back end: uvicorn's, and an answer that is complete goes out in one write.

A write is a system call of several microseconds, and uvicorn makes one for the head and one for the body.
"""

from collections.abc import Sequence
from typing import cast

from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

from spaces_chassis.http import Scope

EXTENSION = "spaces.cycle"


class OneWriteProtocol(HttpToolsProtocol):
    """What uvicorn is given as `http=` stands on this; `write_answer` finds the exchange in `scope[EXTENSION]`."""

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        cast("Scope", cycle.scope)[EXTENSION] = cycle
        super()._start_asgi_task(cycle, app)

    def handle_websocket_upgrade(self) -> None:
        super().handle_websocket_upgrade()
        # The socket has a protocol of its own now. Parser and protocol hold each other, and would stay for as long
        # as no full garbage collection comes.
        del self.parser


async def write_answer(
    cycle: RequestResponseCycle, status: int, headers: Sequence[tuple[bytes, bytes]], body: bytes
) -> None:
    """Sends a whole answer. `headers` are ours and valid; content-length is added."""
    if cycle.flow.write_paused and not cycle.disconnected:
        await cycle.flow.drain()
    if cycle.disconnected:
        return
    parts = [STATUS_LINE[status]]
    for name, value in (*cycle.default_headers, *headers):
        parts += (name, b": ", value, b"\r\n")
    if not cycle.keep_alive:
        parts.append(b"connection: close\r\n")
    parts.append(b"content-length: %d\r\n\r\n" % len(body))
    parts.append(body)
    cycle.transport.write(b"".join(parts))
    cycle.response_started = cycle.response_complete = True
    cycle.message_event.set()
    if not cycle.keep_alive:
        cycle.transport.close()
    cycle.on_response()
