"""A peer that does not read costs nobody but itself."""

import asyncio
import json
import socket

from spaces_contracts.frames import PROTOCOL
from spaces_contracts.problems import KINDS, Code
from spaces_gateway.sockets.limits import OutboxLimits, SocketLimits
from tests.integration.gateway_sockets.conftest import Connect, Gateway, MakeGateway
from tests.integration.gateway_sockets.platform_double import PlatformDouble
from tests.integration.gateway_sockets.test_client_streams import signed_in
from tests.support.eventually import eventually
from tests.support.keys import key_called

HANDSHAKE = (
    "GET /ws HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
    f"Sec-WebSocket-Protocol: {PROTOCOL}\r\n\r\n"
)


def text_frame(**fields: object) -> bytes:
    """A masked text frame (with a mask of zeros), short ones only."""
    body = json.dumps(fields).encode()
    assert len(body) < 126
    return bytes((0x81, 0x80 | len(body))) + bytes(4) + body


async def deaf_client(gateway: Gateway, request_id: str) -> socket.socket:
    """A client that watches a request and reads nothing but the answer to its handshake."""
    loop = asyncio.get_running_loop()
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.setblocking(False)
    host, port = gateway.server.url.removeprefix("http://").split(":")
    await loop.sock_connect(sock, (host, int(port)))
    await loop.sock_sendall(sock, HANDSHAKE.format(host=f"{host}:{port}").encode())
    assert (await loop.sock_recv(sock, 4096)).startswith(b"HTTP/1.1 101")
    await loop.sock_sendall(sock, text_frame(type="auth", token=key_called("user")))
    await loop.sock_sendall(sock, text_frame(type="subscribe", request_id=request_id))
    return sock


async def test_a_client_that_does_not_read_is_dropped_while_others_get_everything(
    make_gateway: MakeGateway, platform: PlatformDouble, connect: Connect
) -> None:
    gateway = await make_gateway(
        SocketLimits(client_outbox=OutboxLimits(messages=64, bytes=64 * 1024))
    )
    request = platform.queued("demo")
    deaf = await deaf_client(gateway, request.request_id)
    client = await signed_in(connect, gateway)
    await client.send("subscribe", request_id=request.request_id)
    await client.frame("status")
    clients = gateway.sockets.clients.sockets
    await eventually(lambda: len(clients) == 2)

    got = 0
    pad = "x" * 8000
    for n in range(1, 201):
        await platform.tell_chunk(request.request_id, n, [pad])
        frame = await client.frame("chunk")
        assert frame["n"] == n
        got += 1
    await platform.finish(request.request_id, last_n=200)
    assert (await client.frame("finished"))["recovered"]
    assert got == 200
    await eventually(lambda: len(clients) == 1, timeout_s=10)
    deaf.close()


async def test_a_client_that_reads_too_late_is_told_why_it_was_closed(
    make_gateway: MakeGateway, platform: PlatformDouble
) -> None:
    # The bound is on what waits in the gateway, so a burst is too much before the kernel's buffers are.
    gateway = await make_gateway(
        SocketLimits(client_outbox=OutboxLimits(messages=64, bytes=16 * 1024))
    )
    request = platform.queued("demo")
    deaf = await deaf_client(gateway, request.request_id)
    clients = gateway.sockets.clients.sockets
    await eventually(lambda: len(clients) == 1)
    n = 0
    while clients:
        n += 1
        await platform.tell_chunk(request.request_id, n, ["x" * 8000])
        assert n < 2000, "the reader was never found too slow"
    received = await read_to_the_end(deaf)
    deaf.close()
    assert b'"code":"slow_consumer"' in received
    assert b"Too much waits to be read on this connection." in received
    close_code = KINDS[Code.SLOW_CONSUMER].close.to_bytes(2, "big")
    assert close_code + b"slow_consumer" in received


async def read_to_the_end(sock: socket.socket) -> bytes:
    """Everything that still comes until the peer is gone."""
    received = b""
    try:
        while part := await asyncio.wait_for(
            asyncio.get_running_loop().sock_recv(sock, 65536), timeout=10
        ):
            received += part
    except ConnectionResetError:
        pass  # the gateway does not wait for an answer to its close
    return received


async def test_a_replay_larger_than_the_outbox_is_paced_by_its_reader(
    make_gateway: MakeGateway, platform: PlatformDouble, connect: Connect
) -> None:
    gateway = await make_gateway(
        SocketLimits(client_outbox=OutboxLimits(messages=16, bytes=32 * 1024))
    )
    request = platform.queued("demo")
    pad = "x" * 4000
    for n in range(1, 301):
        await platform.tell_chunk(request.request_id, n, [f"{n} {pad}"])
    client = await signed_in(connect, gateway)
    await client.send("subscribe", request_id=request.request_id)
    await client.frame("status")
    for n in range(301, 311):  # comes live, behind the replay
        await platform.tell_chunk(request.request_id, n, [f"{n} {pad}"])
    got: list[int] = []
    while len(got) < 310:
        got += [int(text.split()[0]) for text in (await client.frame("chunk"))["data"]]
    assert got == list(range(1, 311))
