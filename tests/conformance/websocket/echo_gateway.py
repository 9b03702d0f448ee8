"""An echo on the gateway's own server, as a process: `python -m tests.conformance.websocket.echo_gateway`.

The server is made by `spaces_gateway.app.server_of` from GatewaySettings of the environment, and its logs and life
by the same calls as `spaces-gateway` makes. So everything from the port to the sink of SpacesWebSocketProtocol is the
product's: handshake, parser, limits, closing, keepalive, logs. What stands behind is not: the product's edge, which
only picks an application by path, and the sessions, which close what is no frame of theirs and therefore cannot echo.
"""

import os
import sys
from typing import Any

import uvloop

from spaces_chassis.clock import SystemClock
from spaces_chassis.http import Scope
from spaces_chassis.lifecycle import run
from spaces_chassis.logs import configure_logs
from spaces_chassis.metrics import Metrics
from spaces_gateway.app import server_of
from spaces_gateway.http.bounds import HttpBounds, Watch
from spaces_gateway.settings import GatewaySettings
from spaces_gateway.sockets.wire import SpacesWebSocketProtocol, wire_of

PATHS = ("/ws", "/ws/worker")
# For the cases with messages of up to 16 MiB: the same server with a wider bound.
MAX_SIZE = "ECHO_MAX_SIZE"


class Echo:
    """Sends back what it gets, through the same door as the product's sockets."""

    def __init__(self, wire: SpacesWebSocketProtocol) -> None:
        self._wire = wire
        wire.attach(self)

    def on_text(self, text: str) -> None:
        """As sessions answer: one text frame."""
        self._wire.write([text.encode()])

    def on_binary(self, data: bytes) -> None:
        """The product never sends binary frames, so the wire has no method for it."""
        self._wire.conn.send_binary(data)
        self._wire.transport.write(b"".join(self._wire.conn.data_to_send()))

    def on_writable(self) -> None:
        """Nothing waits."""


async def echo(scope: Scope, receive: Any, send: Any) -> None:
    """The application behind both paths."""
    assert scope["type"] == "websocket"
    assert scope["path"] in PATHS
    await receive()
    await send({"type": "websocket.accept"})
    wire = wire_of(scope)
    assert isinstance(wire, SpacesWebSocketProtocol)
    if MAX_SIZE in os.environ:
        wire.conn.max_message_size = int(os.environ[MAX_SIZE])
    Echo(wire)
    while (await receive())["type"] != "websocket.disconnect":
        pass


def main() -> None:
    """Serves until SIGTERM."""
    settings = GatewaySettings.from_env()
    configure_logs(settings, "gateway")
    watch = Watch(HttpBounds(), SystemClock(), Metrics("gateway"))
    sys.exit(uvloop.run(run([server_of(settings, echo, watch)], drain_s=settings.drain_s)))


if __name__ == "__main__":
    main()
