"""Connections whose lease ran out die, and their requests go to others."""

from spaces_chassis.bus import Bus
from spaces_chassis.clock import Clock
from spaces_registry.endings import MAX_ENDS, Endings, Reason
from spaces_registry.leases import Reading, Watch
from spaces_registry.meters import Meters
from spaces_registry.stores import Stores

# A death is noticed so much after the lease at most, and what it costs is two look-ups by index.
EVERY_S = 0.5


class DeathLoop:
    """Twice a second, in every registry: what two of them find is ended once, under the lock of its space."""

    def __init__(
        self, stores: Stores, bus: Bus, clock: Clock, endings: Endings, meters: Meters
    ) -> None:
        self._database = stores.database
        self._leases = stores.leases
        self._connections = stores.connections
        self._bus = bus
        self._clock = clock
        self._endings = endings
        self._meters = meters
        self._watch = Watch()

    async def step(self) -> int:
        """How many connections died."""
        now = Reading(
            database_s=await self._leases.database_s(),
            monotonic_s=self._clock.monotonic(),
            bus_up_s=self._bus.connected_for_s,
            database_up_s=self._database.connected_for_s,
        )
        before, self._watch = self._watch, self._watch.read(now)
        if self._watch.quiet_until_s != before.quiet_until_s:
            self._meters.quiet.inc()
        await self._leases.clamp()
        if not self._watch.may_kill:
            return 0
        died = 0
        for space_id, ids in await self._leases.expired(now.database_s, MAX_ENDS):
            died += await self._end(space_id, ids, now.database_s)
        return died

    async def _end(self, space_id: str, connection_ids: list[str], at_s: float) -> int:
        async with self._database.transaction() as tx:
            await self._connections.lock_space(tx, space_id)
            # A beat may have come while we waited for the lock.
            silent = await self._leases.still_expired(tx, connection_ids, at_s)
            ended = await self._endings.end_in(tx, space_id, silent, Reason.LEASE_LOST)
        await self._endings.tell(ended)
        self._meters.leases_lost.inc(len(ended.routes))
        return len(ended.routes)
