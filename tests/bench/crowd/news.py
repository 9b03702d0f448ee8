"""Events of spaces, numbered, and who should have got which."""

import random
from array import array
from asyncio import sleep
from collections.abc import Sequence
from typing import Any

from nats.aio.client import Client

from spaces_contracts.spaces import SpaceEvent
from tests.bench.crowd.visitor import Visitor
from tests.bench.load.figures import Times
from tests.bench.load.flow import clock


class News:
    """Publishes what a registry tells about spaces, and takes the time until each visitor has it.

    The number of an event is the space's count of connections: it is in every frame, and no worker changes it here.
    """

    def __init__(self, space_ids: Sequence[str], chance: random.Random) -> None:
        self._space_ids = space_ids
        self._chance = chance
        # By space: when each event was published; number 0 is what a space tells before any.
        self._published: dict[str, list[float]] = {each: [0.0] for each in space_ids}
        self._seconds = array("d")
        self._missed = self._doubled = 0

    def came(self, visitor: Visitor) -> None:
        """What is published from now on should reach it."""
        visitor.first = visitor.last = len(self._published[visitor.space_id]) - 1

    def arrived(self, visitor: Visitor, number: int) -> None:
        """An event reached a visitor."""
        if number <= visitor.first:  # how things stood when it came
            return
        if number <= visitor.last:
            self._doubled += 1
            return
        self._missed += number - visitor.last - 1
        visitor.last = number
        self._seconds.append(clock() - self._published[visitor.space_id][number])

    async def publish(self, connection: Client, seconds: float, per_s: float) -> None:
        """At random, so many a second."""
        due = clock()
        end = due + seconds
        while due < end:
            await sleep(max(0.0, due - clock()))
            space_id = self._chance.choice(self._space_ids)
            published = self._published[space_id]
            event = SpaceEvent(space_id=space_id, connected=True, connections=len(published))
            published.append(clock())
            await connection.publish(event.address(), event.encode())
            due += self._chance.expovariate(per_s)

    def told(self, visitors: Sequence[Visitor]) -> dict[str, Any]:
        """The figures, once the last event has had its time to arrive."""
        late = sum(
            len(self._published[visitor.space_id]) - 1 - visitor.last
            for visitor in visitors
            if visitor.here
        )
        return {
            "published": sum(len(times) - 1 for times in self._published.values()),
            "event": vars(Times.of(self._seconds)),
            "missed": self._missed + late,
            "doubled": self._doubled,
        }
