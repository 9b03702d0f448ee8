"""Autobahn's cases against the worker agent as a WebSocket client: none fails.

The socket is opened by the agent's own `dial` and read and written by its own FrameSocket, so library, subprotocol
offer, limits, compression and the path of a message are the agent's; an echo takes the place of its sessions, which
answer frames of the protocol only. Beside that the real link meets gateways that break the rules.
"""

import asyncio
import base64
import contextlib
import hashlib
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from websockets.client import ClientProtocol
from websockets.exceptions import ConnectionClosed
from websockets.frames import Frame, Opcode
from websockets.protocol import Event

from spaces_contracts.connections import AgentInfo
from spaces_contracts.frames import PROTOCOL
from spaces_contracts.identifiers import new_id
from spaces_worker_agent import websocket_link
from spaces_worker_agent.frame_socket import FrameSocket
from spaces_worker_agent.link import Introduction, LinkDown
from spaces_worker_agent.websocket_link import MAX_FRAME_BYTES, WebSocketLink, dial
from tests.conformance.websocket.autobahn import (
    COMPRESSION,
    COMPRESSION_COUNT,
    LONG,
    LONG_COUNT,
    SHORT,
    SHORT_COUNT,
    as_server,
    tally,
)
from tests.conformance.websocket.conftest import Note
from tests.conformance.websocket.raw_socket import BINARY, CLOSE, CONT, PING, TEXT, frame

AGENT = "spaces-worker"
_KEY = b"sec-websocket-key:"
_MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class EchoSocket(FrameSocket):
    """Remembers whether a message is text: the agent's protocol has nothing else, an echo must know."""

    def __init__(self, protocol: ClientProtocol, **options: Any) -> None:
        super().__init__(protocol, **options)
        self.are_text: deque[bool] = deque()

    def process_event(self, event: Event) -> None:
        if isinstance(event, Frame) and event.opcode in (Opcode.TEXT, Opcode.BINARY):
            self.are_text.append(event.opcode is Opcode.TEXT)
        super().process_event(event)

    async def echo(self) -> None:
        """Sends back what comes, until the end."""
        with contextlib.suppress(ConnectionClosed):
            await self.listen(self._send_back)

    def _send_back(self, messages: list[bytes]) -> None:
        for message in messages:
            if self.are_text.popleft():
                self.put([message.decode()])
            else:  # the agent never sends these
                self.protocol.send_binary(message)
                self.transport.write(b"".join(self.protocol.data_to_send()))


@pytest.fixture(autouse=True)
def _echo_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websocket_link, "FrameSocket", EchoSocket)


async def opened(url: str) -> EchoSocket:
    socket = await dial(url)
    assert isinstance(socket, EchoSocket)
    return socket


async def echo_every_case(url: str) -> None:
    """Autobahn's client side: the number of cases, each case, and the end."""
    told: list[bytes] = []
    async with await opened(f"{url}/getCaseCount") as socket:
        with contextlib.suppress(ConnectionClosed):
            await socket.listen(told.extend)
    count = int(told[0])
    waiting = list(range(count, 0, -1))  # some cases wait for seconds

    async def play() -> None:
        while waiting:
            case = f"case={waiting.pop()}&agent={AGENT}"
            async with await opened(f"{url}/runCase?{case}") as socket:
                await socket.echo()

    await asyncio.gather(*(play() for _ in range(4)))
    async with await opened(f"{url}/updateReports?agent={AGENT}"):
        pass


def tracebacks(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.exc_info or r.levelno >= logging.ERROR]


async def test_no_case_fails(caplog: pytest.LogCaptureFixture, note: Note) -> None:
    told = tally(await as_server(SHORT, echo_every_case))
    note("agent", told.row("client") | {"tracebacks": len(tracebacks(caplog))})
    assert told.failed == []
    assert told.cases == SHORT_COUNT
    assert tracebacks(caplog) == []


@pytest.mark.timeout(300)
@pytest.mark.usefixtures("only_long")
async def test_no_case_of_large_messages_fails_up_to_the_agents_bound(
    caplog: pytest.LogCaptureFixture, note: Note
) -> None:
    told = tally(await as_server(LONG, echo_every_case))
    # 4 MiB is the agent's bound: it must refuse 8 and 16 MiB, which Autobahn calls failed.
    larger = {"9.1.5", "9.1.6", "9.2.5", "9.2.6"}
    refused = {words.split(":")[0] for words in told.failed}
    row = told.row("client") | {"form": "9.*", "failed": len(refused - larger)}
    note("agent", row | {"refused_above_4_mib": len(larger)})
    assert refused == larger
    assert told.cases == LONG_COUNT
    assert tracebacks(caplog) == []


@pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"
)  # kosoku's open files
@pytest.mark.timeout(300)
@pytest.mark.usefixtures("only_long")
async def test_compression_is_never_offered(caplog: pytest.LogCaptureFixture, note: Note) -> None:
    told = tally(await as_server(COMPRESSION, echo_every_case))
    note("agent", told.row("client") | {"form": "12.* 13.*"})
    assert told.verdicts == {"unimplemented": COMPRESSION_COUNT}
    assert tracebacks(caplog) == []


BROKEN_GATEWAYS = {
    "a masked frame": frame(TEXT, b"{}"),
    "a reserved bit": frame(TEXT, b"{}", reserved=4, masked=False),
    "a reserved opcode": frame(3, b"{}", masked=False),
    "a ping of 126 bytes": frame(PING, b"x" * 126, masked=False),
    "a ping in pieces": frame(PING, fin=False, masked=False),
    "a continuation of nothing": frame(CONT, b"x", masked=False),
    "a text that is not UTF-8": frame(TEXT, b"\xed\xa0\x80", masked=False),
    "a binary that is not UTF-8": frame(BINARY, b"\xff\xfe", masked=False)
    + frame(CLOSE, masked=False),
    "a close of one byte": frame(CLOSE, b"x", masked=False),
    "a close with a forbidden code": frame(CLOSE, b"\x03\xed", masked=False),
    "a text above the bound": frame(TEXT, length=MAX_FRAME_BYTES + 1, masked=False),
    "half a frame": frame(TEXT, length=100, masked=False) + b"{",
    "nothing at all": b"",
}


@asynccontextmanager
async def gateway_that_sends(data: bytes) -> AsyncIterator[str]:
    """Upgrades, sends these bytes, reads until the agent hangs up or there is nothing more to say."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        lines = (line for line in head.split(b"\r\n") if line.lower().startswith(_KEY))
        key = next(lines)[len(_KEY) :].strip()
        accept = base64.b64encode(hashlib.sha1(key + _MAGIC).digest())
        writer.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept + b"\r\n"
            b"Sec-WebSocket-Protocol: " + PROTOCOL.encode() + b"\r\n\r\n" + data
        )
        writer.write_eof()
        await reader.read()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/ws/worker"


def introduction() -> Introduction:
    return Introduction(
        token="token-of-the-test",
        spaces=("demo",),
        slots=1,
        instance_id=new_id(),
        secret="secret of the test",
        agent=AgentInfo(version="1"),
        in_flight=(),
        takeover=False,
    )


@pytest.mark.parametrize("what", BROKEN_GATEWAYS)
async def test_a_gateway_that_breaks_the_rules_is_a_lost_connection(
    what: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with gateway_that_sends(BROKEN_GATEWAYS[what]) as url:
        link = WebSocketLink(url)
        with pytest.raises(LinkDown):
            await until_down(link)
        await link.close()
    assert tracebacks(caplog) == []


async def until_down(
    link: WebSocketLink, introduce: Callable[[], Introduction] = introduction
) -> None:
    await link.open(introduce())
    await asyncio.wait_for(link.listen(lambda frames: None), 10)
