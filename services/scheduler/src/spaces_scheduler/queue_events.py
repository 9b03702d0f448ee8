"""Tells watchers of a space how its queue changes: at once, and then at most four times a second."""

import asyncio
from collections.abc import Iterable
from contextlib import suppress

import structlog

from spaces_chassis.bus import Bus
from spaces_chassis.errors import BusUnavailable, DatabaseUnavailable
from spaces_contracts.spaces import SpaceEvent
from spaces_scheduler.lane_counts import LaneCount
from spaces_scheduler.request_store import RequestStore

log = structlog.get_logger(__name__)

EVERY_S = 0.25


class QueueEvents:
    """A Part. Idle spaces cost nothing: no timer runs when nothing changed.

    The first change of a space is told with the numbers of its own transaction. A quarter of a second
    later the numbers are read again, so that the last event is right whoever changed the space last.
    """

    name = "queue events"

    def __init__(self, bus: Bus, requests: RequestStore) -> None:
        self._bus = bus
        self._requests = requests
        self._told: dict[str, tuple[int, int]] = {}  # told in this window
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def changed(self, lanes: Iterable[LaneCount]) -> None:
        """Counters after a COMMIT. Returns at once."""
        for lane in lanes:
            if lane.space_id not in self._told:
                self._told[lane.space_id] = (lane.queued, lane.running)
                self._tell(lane.space_id, lane.queued, lane.running)
                self._changed.set()

    async def start(self) -> None:
        """Begins to look again at what changed."""
        self._task = asyncio.get_running_loop().create_task(self._run(), name=self.name)

    async def drain(self) -> None:
        """Nothing is owed: an event is a hint."""

    async def stop(self) -> None:
        """Tells nothing more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    def healthy(self) -> bool:
        """Whether it still tells."""
        return self._task is not None and not self._task.done()

    async def _run(self) -> None:
        while True:
            await self._changed.wait()
            await asyncio.sleep(EVERY_S)
            self._changed.clear()
            told, self._told = self._told, {}
            try:
                queues = await self._requests.queues(list(told))
            except DatabaseUnavailable:
                continue
            except Exception:  # the next change is told all the same
                log.exception("queue_not_told")
                continue
            for queue in queues:
                now = (queue.queue_size, queue.running)
                if told[queue.space_id] != now:
                    self._told.setdefault(queue.space_id, now)
                    self._tell(queue.space_id, *now)
                    self._changed.set()

    def _tell(self, space_id: str, queued: int, running: int) -> None:
        event = SpaceEvent(space_id=space_id, queue_size=queued, running=running)
        with suppress(BusUnavailable):
            self._bus.publish_bytes(event.address(), event.encode())
