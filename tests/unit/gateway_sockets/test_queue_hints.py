"""Queues that moved are read again: soon, together, and not too often."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from spaces_chassis.errors import BusUnavailable
from spaces_chassis.testing import ManualClock
from spaces_contracts.requests import MAX_BATCH
from spaces_contracts.spaces import SpaceEvent
from spaces_gateway.sockets.queue_hints import REFRESH_S, QueueHints
from tests.support.eventually import eventually

SPACE = "s" * 26


@dataclass(eq=False)
class Stream:
    request_id: str


class Spaces:
    def __init__(self) -> None:
        self.listeners: list[Callable[[SpaceEvent], None]] = []
        self.away = False

    async def add(self, subject: str, listener: Callable[[SpaceEvent], None]) -> None:
        await asyncio.sleep(0)
        if self.away:
            raise BusUnavailable("away")
        self.listeners.append(listener)

    def remove(self, subject: str, listener: Callable[[SpaceEvent], None]) -> None:
        self.listeners.remove(listener)

    def tell(self, **fields: int | bool) -> None:
        for listener in self.listeners:
            listener(SpaceEvent.model_validate({"space_id": SPACE, **fields}))


class World:
    """Hints beside counters."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.spaces = Spaces()
        self.reads: list[list[str]] = []
        self.away = False
        self.hints = QueueHints(self.clock, self, self.spaces)

    async def look_up(self, request_ids: Sequence[str]) -> None:
        if self.away:
            raise BusUnavailable("away")
        self.reads.append(sorted(request_ids))


async def listening() -> tuple[World, Stream]:
    world, stream = World(), Stream("r1")
    world.hints.add(SPACE, stream)
    await eventually(lambda: world.reads)
    return world, stream


async def test_a_queue_is_read_when_somebody_begins_to_wait_and_when_it_moves() -> None:
    world, stream = await listening()
    world.clock.forward(REFRESH_S)
    world.spaces.tell(queue_size=1)
    world.spaces.tell(running=1)
    await eventually(lambda: len(world.reads) == 2)
    assert world.reads == [["r1"], ["r1"]]
    world.hints.remove(SPACE, stream)
    assert world.spaces.listeners == []


async def test_what_does_not_concern_the_queue_is_not_a_reason_to_read() -> None:
    world, _ = await listening()
    world.clock.forward(REFRESH_S)
    world.spaces.tell(connected=True)
    queue = world.hints._queues[SPACE]
    assert queue.timer is None


async def test_many_moves_at_once_are_read_once_after_a_pause() -> None:
    world, _ = await listening()
    for _ in range(50):
        world.spaces.tell(queue_size=1)
    queue = world.hints._queues[SPACE]
    assert queue.timer is not None
    loop = asyncio.get_running_loop()
    assert 0 < queue.timer.when() - loop.time() <= REFRESH_S
    assert len(world.reads) == 1


async def test_many_watchers_are_read_in_batches_and_less_often() -> None:
    world, _ = await listening()
    for n in range(2 * MAX_BATCH):
        world.hints.add(SPACE, Stream(f"q{n}"))
    world.spaces.tell(queue_size=9)
    timer = world.hints._queues[SPACE].timer
    assert timer is not None
    assert timer.when() - asyncio.get_running_loop().time() > 2 * REFRESH_S
    world.hints._refresh(world.hints._queues[SPACE])
    await eventually(lambda: len(world.reads) == 4)
    assert [len(read) for read in world.reads[1:]] == [MAX_BATCH, MAX_BATCH, 1]


async def test_a_watcher_that_leaves_while_it_opens_leaves_no_listener() -> None:
    world, stream = World(), Stream("r1")
    world.hints.add(SPACE, stream)
    world.hints.remove(SPACE, stream)
    world.hints.add(SPACE, stream)
    await eventually(lambda: world.reads)
    assert len(world.spaces.listeners) == 1
    world.hints.remove(SPACE, stream)
    world.hints.remove(SPACE, stream)
    assert world.spaces.listeners == []


async def test_a_bus_that_is_away_is_survived() -> None:
    world = World()
    world.spaces.away = True
    world.hints.add(SPACE, Stream("r1"))
    await eventually(lambda: not world.hints._opening)
    world.away = True
    await world.hints._look_up(world.hints._queues[SPACE])
    assert world.reads == []
