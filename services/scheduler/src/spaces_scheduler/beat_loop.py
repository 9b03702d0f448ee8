"""Says that this scheduler lives."""

from collections.abc import Sequence
from contextlib import suppress
from importlib.metadata import version

from spaces_chassis.bus import Bus
from spaces_chassis.errors import BusUnavailable
from spaces_chassis.lifecycle import Part
from spaces_contracts.connections import SchedulerBeat
from spaces_contracts.identifiers import new_id

EVERY_S = 3.0


class Heartbeat:
    """A Part that says goodbye when it stops; a Loop turns its step each three seconds."""

    name = "heartbeat"

    def __init__(self, bus: Bus, works: Sequence[Part]) -> None:
        """`works` are the parts whose health is the scheduler's."""
        self._bus = bus
        self._works = works
        self._id = new_id()
        self._leaving = False
        self._version = version("spaces-scheduler")

    async def step(self) -> None:
        """One beat; none while the bus is away."""
        await self._beat()

    async def _beat(self) -> None:
        failing = [part.name for part in self._works if not part.healthy()]
        beat = SchedulerBeat(
            scheduler_id=self._id, version=self._version, failing=failing, leaving=self._leaving
        )
        with suppress(BusUnavailable):
            await self._bus.publish(beat)

    async def start(self) -> None:
        """The loop beats."""

    async def drain(self) -> None:
        """The last one; should the loop still turn, it says the same."""
        self._leaving = True
        await self._beat()

    async def stop(self) -> None:
        """Nothing is held."""

    def healthy(self) -> bool:
        """It is only a word."""
        return True
