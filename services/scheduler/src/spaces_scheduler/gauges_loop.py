"""Figures that are read from the database; one scheduler at a time shows them, so that sums are right."""

from spaces_contracts.identifiers import new_id
from spaces_scheduler.meters import Meters
from spaces_scheduler.request_store import RequestStore

EVERY_S = 5.0
_LEADS_FOR_S = 15.0


class GaugesLoop:
    """Holds the duty while it keeps renewing it."""

    def __init__(self, store: RequestStore, meters: Meters) -> None:
        self._store = store
        self._meters = meters
        self._me = new_id()

    async def step(self) -> bool:
        """Whether this scheduler shows the figures now."""
        leads = await self._store.lead("gauges", self._me, _LEADS_FOR_S)
        if leads:
            self._meters.queues.show(*await self._store.totals())
        else:
            self._meters.queues.hide()
        return leads
