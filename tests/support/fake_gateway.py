"""A gateway in the test's process that speaks the real worker socket and does what the test says."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.typing import Subprotocol

from spaces_contracts.frames import PROTOCOL
from spaces_contracts.identifiers import new_id
from spaces_contracts.problems import Code
from spaces_contracts.worker_socket import read_from_worker
from tests.support.visits import WAIT_S, BaseVisit


class Visit(BaseVisit):
    """One connection of an agent."""

    def __init__(self, socket: ServerConnection) -> None:
        super().__init__()
        self.socket = socket
        self.connections: dict[str, str] = {}
        self.answers_pings = True

    async def read(self) -> None:
        """Reads until the agent is gone; every frame must fit the contract."""
        try:
            async for text in self.socket:
                read_from_worker(text)
                frame = json.loads(text)
                if frame["type"] == "ping":
                    if self.answers_pings:
                        await self.send(type="pong", id=frame["id"])
                    self.pinged()
                else:
                    self.arrived(frame)
        finally:
            self.left()

    async def send(self, **frame: Any) -> None:
        await self.socket.send(json.dumps(frame))

    async def admit(self, **more: Any) -> dict[str, Any]:
        """Answers `register` for all spaces; `space_id` is that of FakeGateway."""
        register = await self.next("register")
        for space in register["spaces"]:
            await self.register_space(space, **more)
        return register

    async def register_space(self, space: str, **more: Any) -> None:
        """One `registered`."""
        cid = self.connections.setdefault(space, new_id())
        facts: dict[str, Any] = {"connection_id": cid, "space_id": space_id(space), "name": space}
        facts |= {"epoch": 1, "heartbeat_s": 0.05}
        await self.send(type="registered", space=space, **(facts | more))

    async def job(self, request_id: str | None = None, attempt: int = 1, **more: Any) -> str:
        """Sends a job; returns its request id."""
        request_id = request_id or new_id()
        facts: dict[str, Any] = {"space": "demo", "space_id": space_id("demo")}
        facts |= {"payload": {"prompt": "hello"}, "remaining_ms": 60_000, "queue_size": 3}
        facts |= more
        await self.send(type="inference_request", request_id=request_id, attempt=attempt, **facts)
        return request_id

    async def ack(self, frame: dict[str, Any], outcome: str = "stored") -> None:
        await self.send(
            type="result_ack",
            request_id=frame["request_id"],
            attempt=frame["attempt"],
            outcome=outcome,
        )

    async def ack_chunks(self, request_id: str, n: int, attempt: int = 1) -> None:
        await self.send(type="chunk_ack", request_id=request_id, attempt=attempt, n=n)

    async def cancel(self, request_id: str, attempt: int = 1, **more: Any) -> None:
        await self.send(type="cancel", request_id=request_id, attempt=attempt, **more)

    async def kick(self, code: Code, message: str) -> None:
        """Ends the connection."""
        cid = next(iter(self.connections.values()))
        await self.send(type="kick", connection_id=cid, code=code, message=message, retry=False)

    def cut(self) -> None:
        """The network breaks: no close frame."""
        self.socket.transport.abort()


class FakeGateway:
    """Takes visits one after another."""

    def __init__(self) -> None:
        self.url = ""
        self.visits: list[Visit] = []
        self._new: asyncio.Queue[Visit] = asyncio.Queue()
        self._server: Server | None = None

    async def visit(self) -> Visit:
        """The next connection of an agent."""
        return await asyncio.wait_for(self._new.get(), WAIT_S)

    async def admitted(self, **more: Any) -> Visit:
        """The next connection, registered."""
        visit = await self.visit()
        await visit.admit(**more)
        return visit

    async def handle(self, socket: ServerConnection) -> None:
        visit = Visit(socket)
        self.visits.append(visit)
        self._new.put_nowait(visit)
        await visit.read()


def space_id(space: str) -> str:
    """The id that the fake gives to a name."""
    return (space.replace("/", "").replace("-", "") + "0" * 26)[:26].lower()


@asynccontextmanager
async def fake_gateway(**options: Any) -> AsyncIterator[FakeGateway]:
    """A gateway on a free port of this host."""
    gateway = FakeGateway()
    settings: dict[str, Any] = {"subprotocols": [Subprotocol(PROTOCOL)], "compression": None}
    settings |= {"ping_interval": None, "max_size": 1_048_576, "close_timeout": 0.5}
    async with serve(gateway.handle, "127.0.0.1", 0, **(settings | options)) as server:
        port = server.sockets[0].getsockname()[1]
        scheme = "https" if options.get("ssl") else "http"
        gateway.url = f"{scheme}://127.0.0.1:{port}"
        yield gateway
