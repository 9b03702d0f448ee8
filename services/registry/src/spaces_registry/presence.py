"""Tells watchers of a space that workers came or went."""

from collections.abc import Sequence
from contextlib import suppress

from spaces_chassis.batcher import Batcher, BatcherMetrics
from spaces_chassis.bus import Bus
from spaces_chassis.errors import BusUnavailable
from spaces_contracts.spaces import SpaceEvent
from spaces_registry.connection_store import ConnectionStore


class Presence:
    """Reads the truth after the commit, so that the last event a watcher gets is right.

    Changes that come while one reading runs share the next: a flapping worker costs watchers little.
    """

    def __init__(self, connections: ConnectionStore, bus: Bus, metrics: BatcherMetrics) -> None:
        self._connections = connections
        self._bus = bus
        self.batcher: Batcher[str, None] = Batcher(self._tell, name="presence", metrics=metrics)

    def changed(self, space_id: str) -> None:
        """Connections of the space came or went; returns at once."""
        self.batcher.add_with(space_id, _ignore)

    async def _tell(self, space_ids: list[str]) -> Sequence[None]:
        counts = await self._connections.counts(sorted(set(space_ids)))
        with suppress(BusUnavailable):
            for space_id, count in counts.items():
                event = SpaceEvent(space_id=space_id, connected=count > 0, connections=count)
                await self._bus.publish(event)
        return [None] * len(space_ids)


def _ignore(_outcome: BaseException | None) -> None:
    """A hint that is lost is shown by the next read of the space."""
