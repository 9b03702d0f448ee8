"""Figures that are read from the database; one registry at a time shows them, so that sums are right."""

from spaces_contracts.identifiers import new_id
from spaces_registry.meters import Meters
from spaces_registry.stores import Stores

EVERY_S = 5.0
_DUTY = "gauges"


class GaugesLoop:
    """Holds the duty while it keeps renewing it."""

    def __init__(self, stores: Stores, meters: Meters) -> None:
        self._leaders = stores.leaders
        self._connections = stores.connections
        self._meters = meters
        self._me = new_id()

    async def step(self) -> bool:
        """Whether this registry shows the figures now."""
        leads = await self._leaders.lead(_DUTY, self._me)
        self._meters.show_connections(await self._connections.states() if leads else {})
        return leads
