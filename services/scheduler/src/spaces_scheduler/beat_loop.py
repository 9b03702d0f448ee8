"""Says that this scheduler lives."""

from contextlib import suppress
from importlib.metadata import version

from spaces_chassis.bus import Bus
from spaces_chassis.errors import BusUnavailable
from spaces_contracts.connections import SchedulerBeat
from spaces_contracts.identifiers import new_id

EVERY_S = 3.0


class BeatLoop:
    """A beat each three seconds."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._beat = SchedulerBeat(scheduler_id=new_id(), version=version("spaces-scheduler"))

    async def step(self) -> None:
        """One beat; none while the bus is away."""
        with suppress(BusUnavailable):
            await self._bus.publish(self._beat)
