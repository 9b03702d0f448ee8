"""Tells lists that somebody looks at how requests change: collected for a moment, one message a space.

While nobody looks it costs the path of requests one comparison a batch.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime

import structlog

from spaces_chassis.bus import Bus, Delivery
from spaces_chassis.clock import Clock
from spaces_chassis.errors import BusUnavailable, DatabaseUnavailable
from spaces_contracts.problems import Problem
from spaces_contracts.request_changes import (
    MAX_CHANGES,
    WATCHED_FOR_S,
    RequestChange,
    RequestsChanged,
    WatchChanges,
)
from spaces_contracts.requests import Job, RequestState
from spaces_scheduler.list_store import ListStore

# How long changes are collected: four frames a second is what a watcher gets.
EVERY_S = 0.1
# For how long it is remembered who sees a space: what a change of that may lag behind in lists.
KNOWN_S = 0.4

log = structlog.get_logger(__name__)


@dataclass
class Changes:
    """What changed in one space since the last message."""

    latest: dict[str, RequestChange] = field(default_factory=dict)
    missed: int = 0


class ChangeFeed:
    """A Part. `watching` is asked before anything is noted."""

    name = "change feed"

    def __init__(self, bus: Bus, clock: Clock, lists: ListStore) -> None:
        self._bus = bus
        self._clock = clock
        self._lists = lists
        self._until = 0.0
        self._spaces: dict[str, Changes] = {}
        self._audiences: dict[str, tuple[str, str | None]] = {}
        self._forget_at = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._telling: asyncio.Task[None] | None = None

    @property
    def watching(self) -> bool:
        """Whether somebody looks at a list somewhere."""
        return self._until > 0.0 and self._until > self._clock.monotonic()

    def watched(self, _message: WatchChanges, _delivery: Delivery) -> None:
        """A gateway says that somebody looks."""
        self._until = self._clock.monotonic() + WATCHED_FOR_S

    def claimed(self, jobs: Sequence[Job]) -> None:
        """Requests were given to workers."""
        for job in jobs:
            self.note(job.space_id, job.request_id, RequestState.RUNNING, job.attempt)

    def note(
        self,
        space_id: str,
        request_id: str,
        state: RequestState,
        attempt: int,
        *,
        principal_id: str | None = None,
        error: Problem | None = None,
    ) -> None:
        """A request is in a state now. Returns at once."""
        space = self._spaces.get(space_id)
        if space is None:
            space = self._spaces[space_id] = Changes()
        before = space.latest.get(request_id)
        if before is None and len(space.latest) >= MAX_CHANGES:
            space.missed += 1
            return
        space.latest[request_id] = RequestChange(
            request_id=request_id,
            state=state,
            attempt=attempt,
            at=datetime.now(UTC),
            principal_id=principal_id or (before.principal_id if before else None),
            code=None if error is None else error.code,
        )
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(EVERY_S, self._due)

    def _due(self) -> None:
        self._timer = None
        if self._telling is None or self._telling.done():
            spaces, self._spaces = self._spaces, {}
            self._telling = asyncio.get_running_loop().create_task(self._tell(spaces))
        else:  # the database is slow: what comes meanwhile goes together
            self._timer = asyncio.get_running_loop().call_later(EVERY_S, self._due)

    async def _tell(self, spaces: Mapping[str, Changes]) -> None:
        try:
            await self._learn(spaces)
        except DatabaseUnavailable:
            return
        except Exception:  # a hint: lists are read again now and then
            log.exception("changes_not_told")
            return
        for space_id, changes in spaces.items():
            audience = self._audiences.get(space_id)
            if audience is None:
                continue
            message = RequestsChanged(
                space_id=space_id,
                tenant_id=audience[0],
                private_to=audience[1],
                changes=list(changes.latest.values()),
                missed=changes.missed,
            )
            with suppress(BusUnavailable):
                await self._bus.publish(message)

    async def _learn(self, space_ids: Iterable[str]) -> None:
        now = self._clock.monotonic()
        if now >= self._forget_at:
            self._audiences.clear()
            self._forget_at = now + KNOWN_S
        unknown = [one for one in space_ids if one not in self._audiences]
        if unknown:
            self._audiences.update(await self._lists.audiences_of(unknown))

    async def start(self) -> None:
        """Nothing to do."""

    async def drain(self) -> None:
        """Nothing is owed: changes are hints."""

    async def stop(self) -> None:
        """Tells nothing more."""
        if self._timer is not None:
            self._timer.cancel()
        if self._telling is not None and not self._telling.done():
            self._telling.cancel()
            await asyncio.wait([self._telling])

    def healthy(self) -> bool:
        """It holds nothing that could fail."""
        return True
