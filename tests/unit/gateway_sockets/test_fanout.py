"""One subscription for all listeners of a subject, for as long as one of them listens."""

import asyncio
from collections.abc import Callable

import pytest

from spaces_chassis.bus import Route, listen
from spaces_chassis.errors import BusUnavailable
from spaces_gateway.sockets.fanout import Channels
from tests.support.eventually import eventually


class Subscription:
    def __init__(self, bus: "CountingBus", subject: str) -> None:
        self._bus, self._subject = bus, subject

    async def stop(self) -> None:
        self._bus.open.remove(self._subject)


class CountingBus:
    def __init__(self) -> None:
        self.open: list[str] = []
        self.asked = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self.away = False

    async def subscribe(self, route: Route, subject: str) -> Subscription:
        self.asked += 1
        await self.gate.wait()
        if self.away:
            raise BusUnavailable("away")
        self.open.append(subject)
        return Subscription(self, subject)


class World:
    def __init__(self, linger_s: float = 0.0) -> None:
        self.bus = CountingBus()
        self.tellers: list[Callable[[str], None]] = []
        self.channels: Channels[str] = Channels(self.bus, self._route, linger_s)  # type: ignore[arg-type]
        self.heard: list[tuple[str, str]] = []
        self.a = lambda text: self.heard.append(("a", text))
        self.b = lambda text: self.heard.append(("b", text))

    def _route(self, subject: str, tell: Callable[[str], None]) -> Route:
        self.tellers.append(tell)
        return listen(subject, lambda delivery: None)


@pytest.fixture
def world() -> World:
    return World()


async def turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_listeners_share_a_subscription_and_the_last_one_takes_it_along(world: World) -> None:
    await world.channels.add("s", world.a)
    await world.channels.add("s", world.b)
    world.tellers[0]("x")
    assert world.heard == [("a", "x"), ("b", "x")]
    assert world.bus.open == ["s"]
    world.channels.remove("s", world.a)
    world.tellers[0]("y")
    assert world.heard[2:] == [("b", "y")]
    world.channels.remove("s", world.b)
    world.channels.remove("s", world.b)
    await turns()
    assert world.bus.open == []
    assert len(world.channels) == 0


async def test_listeners_that_come_while_it_opens_wait_for_the_same_subscription(
    world: World,
) -> None:
    world.bus.gate.clear()
    adding = [
        asyncio.create_task(world.channels.add("s", listener)) for listener in (world.a, world.b)
    ]
    await turns()
    assert not any(task.done() for task in adding)
    world.bus.gate.set()
    await asyncio.gather(*adding)
    assert world.bus.asked == 1


async def test_one_that_leaves_while_it_opens_leaves_nothing_behind(world: World) -> None:
    world.bus.gate.clear()
    adding = asyncio.create_task(world.channels.add("s", world.a))
    await turns()
    adding.cancel()
    await turns()
    world.bus.gate.set()
    await turns()
    assert world.bus.open == []
    assert len(world.channels) == 0


async def test_a_subscription_that_failed_is_tried_again_by_the_next_listener(
    world: World,
) -> None:
    world.bus.away = True
    with pytest.raises(BusUnavailable):
        await world.channels.add("s", world.a)
    await turns()
    assert len(world.channels) == 0
    world.bus.away = False
    await world.channels.add("s", world.a)
    assert world.bus.open == ["s"]


async def test_a_lingering_subscription_is_found_again() -> None:
    world = World(linger_s=60.0)
    await world.channels.add("s", world.a)
    world.channels.remove("s", world.a)
    await turns()
    assert world.bus.open == ["s"]
    await world.channels.add("s", world.b)
    assert world.bus.asked == 1
    world.channels.remove("s", world.b)
    await world.channels.stop()
    await turns()
    assert len(world.channels) == 0


async def test_a_lingering_subscription_ends_when_its_time_is_over() -> None:
    world = World(linger_s=0.001)
    await world.channels.add("s", world.a)
    world.channels.remove("s", world.a)
    await eventually(lambda: world.bus.open == [])
