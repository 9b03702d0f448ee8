"""What a test sees of one connection of an agent, whichever link it came over."""

import asyncio
from collections.abc import Callable
from typing import Any

WAIT_S = 20.0


class BaseVisit:
    """Collects what the agent says; `next` and `until` wait for it."""

    def __init__(self) -> None:
        self.frames: list[dict[str, Any]] = []
        self.pings = 0
        self.closed = asyncio.Event()
        self._taken = 0
        self._changed = asyncio.Event()

    def arrived(self, frame: dict[str, Any]) -> None:
        """Something was said."""
        self.frames.append(frame)
        self._changed.set()

    def pinged(self) -> None:
        """A heartbeat came."""
        self.pings += 1
        self._changed.set()

    def left(self) -> None:
        """The connection is gone."""
        self.closed.set()
        self._changed.set()

    async def next(self, kind: str) -> dict[str, Any]:
        """The next frame of that type, from after the last one taken."""

        def found() -> bool:
            later = self.frames[self._taken :]
            return self.closed.is_set() or any(frame["type"] == kind for frame in later)

        await self.until(found)
        for place in range(self._taken, len(self.frames)):
            if self.frames[place]["type"] == kind:
                self._taken = place + 1
                return self.frames[place]
        raise AssertionError(f"closed before {kind}; got {[f['type'] for f in self.frames]}")

    async def until(self, condition: Callable[[], bool]) -> None:
        """Waits until a condition over what arrived holds."""
        async with asyncio.timeout(WAIT_S):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    async def heard(self) -> None:
        """Two heartbeats: whatever was said to the agent before has been handled."""
        pings = self.pings
        await self.until(lambda: self.pings > pings + 1)

    def all(self, kind: str) -> list[dict[str, Any]]:
        """Every frame of that type so far."""
        return [frame for frame in self.frames if frame["type"] == kind]

    def chunks(self) -> list[Any]:
        """Every chunk so far, in the order of arrival."""
        return [chunk for frame in self.all("inference_chunk") for chunk in frame["data"]]

    async def result(self, outcome: str | None = "stored") -> dict[str, Any]:
        """The next result, acknowledged unless told not to."""
        frame = await self.next("inference_result")
        if outcome is not None:
            await self.ack(frame, outcome)
        return frame

    async def ack(self, frame: dict[str, Any], outcome: str = "stored") -> None:
        """Says what became of a result."""
        raise NotImplementedError
