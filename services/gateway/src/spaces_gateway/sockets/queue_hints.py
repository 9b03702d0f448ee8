"""Keeps watchers of queued requests up to date: a queue that moved is read again, many requests in one question."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol

import structlog

from spaces_chassis.clock import Clock
from spaces_chassis.errors import ProblemError
from spaces_contracts.requests import MAX_BATCH
from spaces_contracts.spaces import SpaceEvent

# A watcher sees its place change at most so often; queues with thousands of watchers are read less often.
REFRESH_S = 0.25

log = structlog.get_logger(__name__)


class Queued(Protocol):
    """Somebody's view of one queued request."""

    @property
    def request_id(self) -> str: ...


class Reader(Protocol):
    """Reads requests; those who watch them are told."""

    async def look_up(self, request_ids: Sequence[str]) -> None: ...


class SpaceEvents(Protocol):
    """Events of spaces, by subject."""

    async def add(self, subject: str, listener: Callable[[SpaceEvent], None]) -> None: ...
    def remove(self, subject: str, listener: Callable[[SpaceEvent], None]) -> None: ...


class WatchedQueue:
    """The queued requests of one space that somebody here watches."""

    def __init__(self, now: float) -> None:
        self.streams: set[Queued] = set()
        self.refreshed_at = now  # the submit's answer said where it stood
        self.listening = False
        self.timer: asyncio.TimerHandle | None = None
        self.task: asyncio.Task[None] | None = None


class QueueHints:
    """Listens to a space while somebody waits in its queue."""

    def __init__(self, clock: Clock, reader: Reader, spaces: SpaceEvents) -> None:
        self._clock = clock
        self._reader = reader
        self._spaces = spaces
        self._queues: dict[str, WatchedQueue] = {}
        self._opening: set[asyncio.Task[None]] = set()

    def add(self, space_id: str, stream: Queued) -> None:
        """The stream's request is queued."""
        queue = self._queues.get(space_id)
        if queue is None:
            queue = self._queues[space_id] = WatchedQueue(self._clock.monotonic())
            task = asyncio.get_running_loop().create_task(self._listen(space_id, queue))
            self._opening.add(task)
            task.add_done_callback(self._opening.discard)
        queue.streams.add(stream)

    def remove(self, space_id: str, stream: Queued) -> None:
        """The stream's request is queued no more, or nobody watches it."""
        queue = self._queues.get(space_id)
        if queue is None:
            return
        queue.streams.discard(stream)
        if not queue.streams:
            del self._queues[space_id]
            if queue.timer is not None:
                queue.timer.cancel()
            if queue.listening:
                self._spaces.remove(f"sev.{space_id}", self._moved)

    async def _listen(self, space_id: str, queue: WatchedQueue) -> None:
        try:
            await self._spaces.add(f"sev.{space_id}", self._moved)
        except ProblemError as error:  # places are then shown by the look at what is quiet
            log.warning("queue_not_watched", space_id=space_id, problem=str(error))
            return
        if self._queues.get(space_id) is queue:
            queue.listening = True
            self._refresh_soon(space_id)  # it may have moved before we listened
        else:
            self._spaces.remove(f"sev.{space_id}", self._moved)

    def _moved(self, event: SpaceEvent) -> None:
        if event.queue_size is not None or event.running is not None:
            self._refresh_soon(event.space_id)

    def _refresh_soon(self, space_id: str) -> None:
        queue = self._queues.get(space_id)
        if queue is None or queue.timer is not None:
            return
        pause_s = REFRESH_S * (1 + len(queue.streams) // MAX_BATCH)
        wait_s = max(0.0, queue.refreshed_at + pause_s - self._clock.monotonic())
        queue.timer = asyncio.get_running_loop().call_later(wait_s, self._refresh, queue)

    def _refresh(self, queue: WatchedQueue) -> None:
        queue.timer = None
        queue.refreshed_at = self._clock.monotonic()
        if queue.task is None or queue.task.done():
            queue.task = asyncio.get_running_loop().create_task(self._look_up(queue))

    async def _look_up(self, queue: WatchedQueue) -> None:
        ids = list({stream.request_id for stream in queue.streams})
        for start in range(0, len(ids), MAX_BATCH):
            try:
                await self._reader.look_up(ids[start : start + MAX_BATCH])
            except ProblemError as error:
                log.warning("queue_not_read", count=len(ids), problem=str(error))
                return
