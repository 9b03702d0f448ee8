"""Doubles for tests: a bus in memory, a clock turned by hand, a signal to wait for."""

import asyncio
import heapq
import itertools
from datetime import UTC, datetime, timedelta
from typing import Generic, TypeVar

from spaces_chassis.bus.bus import Bus
from spaces_chassis.clock import Clock
from spaces_chassis.memory import MemoryBroker, MemoryTransport
from spaces_chassis.metrics import Metrics

__all__ = ["ManualClock", "MemoryBroker", "MemoryBus", "Signal"]

T = TypeVar("T")


class MemoryBus(Bus):
    """The bus over a MemoryBroker: same interface and same rules as over NATS."""

    def __init__(
        self,
        broker: MemoryBroker | None = None,
        *,
        name: str = "memory",
        clock: Clock | None = None,
        metrics: Metrics | None = None,
    ) -> None:
        """Buses that share a broker talk to each other."""
        self.broker = broker or MemoryBroker()
        super().__init__(MemoryTransport(self.broker), name=name, clock=clock, metrics=metrics)


class ManualClock:
    """A clock that stands still until a test turns it; sleepers wake in the order of their time."""

    def __init__(self, now: datetime | None = None) -> None:
        self._now = now or datetime(2026, 1, 1, tzinfo=UTC)
        self._monotonic = 1000.0
        self._order = itertools.count()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return self._monotonic

    async def sleep(self, seconds: float) -> None:
        """Returns when the clock was turned that far."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._monotonic + seconds, next(self._order), future))
        await future

    @property
    def sleepers(self) -> int:
        """How many sleep now."""
        return sum(not future.done() for _, _, future in self._sleepers)

    def forward(self, seconds: float) -> None:
        """Turns both clocks; who sleeps no longer than that wakes at the loop's next turn."""
        self._now += timedelta(seconds=seconds)
        self._monotonic += seconds
        while self._sleepers and self._sleepers[0][0] <= self._monotonic:
            _, _, future = heapq.heappop(self._sleepers)
            if not future.done():
                future.set_result(None)

    def step_wall(self, seconds: float) -> None:
        """Sets only the wall clock, as an operator or NTP would."""
        self._now += timedelta(seconds=seconds)


class Signal(Generic[T]):
    """Something a test waits for: whoever does it calls `send(value)`, the test awaits `next()`."""

    def __init__(self) -> None:
        self.values: list[T] = []
        self._queue: asyncio.Queue[T] = asyncio.Queue()

    def send(self, value: T) -> None:
        """Records that it happened."""
        self.values.append(value)
        self._queue.put_nowait(value)

    async def next(self, timeout_s: float = 5.0) -> T:
        """The next value, in order. Raises TimeoutError."""
        return await asyncio.wait_for(self._queue.get(), timeout_s)

    def __len__(self) -> int:
        return len(self.values)
