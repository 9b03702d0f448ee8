"""The other end of a socket in tests: sends frames, and waits for the frame it names."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from spaces_contracts.frames import PROTOCOL
from spaces_contracts.identifiers import new_id

WAIT_S = 5.0


class Peer:
    """A worker or client made of plain frames."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self.seen: list[dict[str, Any]] = []

    @classmethod
    @asynccontextmanager
    async def open(
        cls, url: str, *, protocols: tuple[str, ...] = (PROTOCOL,), **options: Any
    ) -> AsyncIterator["Peer"]:
        options.setdefault("ping_interval", None)
        async with connect(
            url,
            subprotocols=[Subprotocol(name) for name in protocols] or None,
            compression=None,
            max_size=4 * 1024 * 1024,
            close_timeout=1,
            proxy=None,
            **options,
        ) as connection:
            yield cls(connection)

    async def send(self, type: str, **fields: Any) -> None:
        await self.connection.send(json.dumps({"type": type, **fields}))

    async def send_text(self, text: str) -> None:
        await self.connection.send(text)

    async def next(self, timeout_s: float = WAIT_S) -> dict[str, Any]:
        """The next frame, whatever it is."""
        async with asyncio.timeout(timeout_s):
            frame: dict[str, Any] = json.loads(await self.connection.recv())
        self.seen.append(frame)
        return frame

    async def frame(self, *types: str, timeout_s: float = WAIT_S) -> dict[str, Any]:
        """The next frame of one of these types; others before it are kept in `seen`."""
        async with asyncio.timeout(timeout_s):
            while True:
                frame = await self.next(timeout_s)
                if frame["type"] in types:
                    return frame

    async def close_code(self, timeout_s: float = WAIT_S) -> int:
        """Reads until the other side closes; the code."""
        async with asyncio.timeout(timeout_s):
            while True:
                try:
                    self.seen.append(json.loads(await self.connection.recv()))
                except ConnectionClosed:
                    code = self.connection.close_code
                    assert code is not None
                    return code

    async def quiet(self) -> None:
        """Asserts that nothing but the answer to a ping comes: the frames before it were handled."""
        await self.send("ping", id=77)
        frame = await self.next()
        assert frame == {"type": "pong", "id": 77}, frame

    # A worker's frames

    async def register(self, *spaces: str, **fields: Any) -> None:
        await self.send(
            "register",
            **{
                "token": "token",
                "spaces": list(spaces or ("demo",)),
                "instance_id": new_id(),
                "agent": {"version": "0"},
                "resume": {"secret": "s"},
                **fields,
            },
        )

    async def registered(self, *spaces: str, **fields: Any) -> dict[str, Any]:
        """Registers and returns the (last) `registered` frame."""
        await self.register(*spaces, **fields)
        for _ in spaces or ("demo",):
            frame = await self.frame("registered")
        return frame

    async def result(self, request_id: str, **fields: Any) -> None:
        await self.send(
            "inference_result",
            **{
                "request_id": request_id,
                "attempt": 1,
                "status": "succeeded",
                "output": {"text": "done"},
                "timestamp": "2026-01-01T00:00:00Z",
                **fields,
            },
        )
