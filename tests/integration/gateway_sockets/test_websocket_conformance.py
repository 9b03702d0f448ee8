"""Autobahn's cases against the gateway's WebSocket back end: none fails.

All of 1 to 7 and 10 run here (a second); 9 is about megabytes and 12 to 13 about compression, which is off.
"""

from collections.abc import AsyncIterator, MutableMapping
from typing import Any

import pytest
from kosoku import FailureError, run_fuzzingclient

from spaces_chassis.http import HttpServer
from spaces_gateway.sockets.wire import SpacesWebSocketProtocol, wire_of

CASES = ["1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "10.*"]


class Echo:
    """Sends back what it gets, through the same door as the product's sockets."""

    def __init__(self, scope: MutableMapping[str, Any]) -> None:
        wire = wire_of(scope)
        assert isinstance(wire, SpacesWebSocketProtocol)
        self.wire = wire
        self.wire.attach(self)

    def on_text(self, text: str) -> None:
        self.wire.write([text.encode()])

    def on_binary(self, data: bytes) -> None:
        self.wire.conn.send_binary(data)
        self.wire.transport.write(b"".join(self.wire.conn.data_to_send()))

    def on_writable(self) -> None:
        """Nothing waits."""


async def echo(scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    Echo(scope)
    while (await receive())["type"] != "websocket.disconnect":
        pass


@pytest.fixture
async def echo_url() -> AsyncIterator[str]:
    server = HttpServer(
        echo,
        host="127.0.0.1",
        port=0,
        ws=SpacesWebSocketProtocol,
        ws_per_message_deflate=False,
        ws_max_size=1_048_576,
    )
    await server.start()
    yield server.url.replace("http", "ws", 1)
    await server.stop()


async def test_no_autobahn_case_fails(echo_url: str) -> None:
    try:
        results = await run_fuzzingclient(echo_url, cases=CASES, concurrency=4)
    except FailureError as error:
        results = error.results
    failed = [f"{r.case_id}: {r.result} {r.result_close}" for r in results if not r.passed]
    assert not failed
    assert len(results) > 240
