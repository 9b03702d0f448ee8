"""Which processes of the platform live: their beats, and what is told of them."""

from spaces_chassis.bus import Delivery
from spaces_contracts.connections import SchedulerBeat
from spaces_contracts.system import GetSystem, SystemReply
from spaces_registry.system_store import SystemStore


class System:
    """Handlers of beats that are only shown, and the question for them."""

    def __init__(self, store: SystemStore) -> None:
        self._store = store

    async def scheduler(self, beat: SchedulerBeat, _delivery: Delivery) -> None:
        """A scheduler lives."""
        await self._store.heard(
            "scheduler", beat.scheduler_id, beat.version, beat.failing, leaving=beat.leaving
        )

    async def get(self, _command: GetSystem) -> SystemReply:
        """For admins."""
        return SystemReply(
            replicas=await self._store.replicas(), database=await self._store.database()
        )
