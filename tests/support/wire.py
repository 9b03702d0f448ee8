"""The two socket protocols spoken by hand, for tests over the wire only."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

from spaces_contracts.client_socket import (
    After,
    Auth,
    Ready,
    Subscribe,
    ToClient,
    read_to_client,
)
from spaces_contracts.connections import AgentInfo, InFlight
from spaces_contracts.frames import PROTOCOL, Frame
from spaces_contracts.identifiers import new_id
from spaces_contracts.worker_socket import Register, Resume, ToWorker, read_to_worker

F = TypeVar("F", bound=Frame)
ANSWER_S = 15.0


def socket_url(gateway_url: str, path: str) -> str:
    """The ws:// address of a path on a gateway."""
    return "ws" + gateway_url.removeprefix("http") + path


class WorkerSocket:
    """A worker that a test plays by hand: it answers pings and nothing else by itself."""

    def __init__(self, connection: ClientConnection, *, instance_id: str, secret: str) -> None:
        self.connection = connection
        self.instance_id = instance_id
        self.secret = secret

    async def send(self, frame: Frame) -> None:
        """One frame."""
        await self.connection.send(frame.encode())

    async def register(
        self,
        token: str,
        spaces: list[str],
        *,
        slots: int = 1,
        takeover: bool = False,
        in_flight: list[InFlight] | None = None,
    ) -> None:
        """Sends the first frame."""
        await self.send(
            Register(
                token=token,
                spaces=spaces,
                slots=slots,
                instance_id=self.instance_id,
                agent=AgentInfo(version="test"),
                resume=Resume(secret=self.secret, in_flight=in_flight or []),
                takeover=takeover,
            )
        )

    async def receive(self, timeout_s: float = ANSWER_S) -> ToWorker:
        """The next frame that is not a heartbeat."""
        async with asyncio.timeout(timeout_s):
            while True:
                frame = read_to_worker(await self.connection.recv())
                if frame.type == "ping":
                    await self.connection.send(f'{{"type":"pong","id":{frame.id}}}')
                elif frame.type != "pong":
                    return frame

    async def expect(self, kind: type[F], timeout_s: float = ANSWER_S) -> F:
        """The next frame, which must be of this class."""
        frame = await self.receive(timeout_s)
        assert isinstance(frame, kind), frame
        return frame


@asynccontextmanager
async def worker_socket(
    gateway_url: str, *, instance_id: str | None = None, secret: str = "secret of the test"
) -> AsyncIterator[WorkerSocket]:
    """An open worker socket."""
    async with connect(
        socket_url(gateway_url, "/ws/worker"),
        subprotocols=[Subprotocol(PROTOCOL)],
        compression=None,
        proxy=None,
        ping_interval=None,
    ) as connection:
        yield WorkerSocket(connection, instance_id=instance_id or new_id(), secret=secret)


class ClientSocket:
    """A signed-in client."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection

    async def send(self, frame: Frame) -> None:
        """One frame."""
        await self.connection.send(frame.encode())

    async def subscribe(self, request_id: str, *, attempt: int = 0, n: int = 0) -> None:
        """Watches a request from where the test is."""
        await self.send(Subscribe(request_id=request_id, after=After(attempt=attempt, n=n)))

    async def receive(self, timeout_s: float = ANSWER_S) -> ToClient:
        """The next frame that is not a heartbeat."""
        async with asyncio.timeout(timeout_s):
            while True:
                frame = read_to_client(await self.connection.recv())
                if frame.type == "ping":
                    await self.connection.send(f'{{"type":"pong","id":{frame.id}}}')
                elif frame.type != "pong":
                    return frame

    async def expect(self, kind: type[F], timeout_s: float = ANSWER_S) -> F:
        """The next frame, which must be of this class."""
        frame = await self.receive(timeout_s)
        assert isinstance(frame, kind), frame
        return frame

    def cut(self) -> None:
        """Breaks the connection as a lost network does: no closing handshake."""
        transport: Any = self.connection.transport
        raw = transport.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
        transport.abort()


@asynccontextmanager
async def client_socket(gateway_url: str, api_key: str) -> AsyncIterator[ClientSocket]:
    """A client socket, signed in."""
    async with connect(
        socket_url(gateway_url, "/ws"),
        subprotocols=[Subprotocol(PROTOCOL)],
        compression=None,
        proxy=None,
        ping_interval=None,
    ) as connection:
        client = ClientSocket(connection)
        await client.send(Auth(token=api_key))
        await client.expect(Ready)
        yield client
