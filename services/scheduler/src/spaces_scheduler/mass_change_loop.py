"""Ends what is queued in spaces that were disabled or deleted, and forgets what is too old. A part at a time."""

from spaces_scheduler.announcer import Announcer
from spaces_scheduler.upkeep_store import UpkeepStore

EVERY_S = 1.0
_MOST = 200


class MassChangeLoop:
    """What one change of a space means for all its requests."""

    def __init__(self, store: UpkeepStore, announcer: Announcer) -> None:
        self._store = store
        self._announcer = announcer

    async def step(self) -> int:
        """How many requests were cancelled."""
        cancelled = 0
        for _ in range(_MOST):
            request_ids = await self._store.change_masses()
            if not request_ids:
                break
            await self._announcer.now(request_ids)
            cancelled += len(request_ids)
        await self._store.forget()
        return cancelled
