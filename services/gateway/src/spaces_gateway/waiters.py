"""Who waits in this process for a request to end.

The scheduler tells the submitter's `notify` address; that message is a hint and may be lost, so a watched
request that was quiet for five seconds is looked up, many in one question.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

import structlog

from spaces_chassis.bus import Bus
from spaces_chassis.clock import Clock
from spaces_chassis.errors import ProblemError
from spaces_contracts.access import EVERYTHING
from spaces_contracts.identifiers import new_id
from spaces_contracts.problems import Code
from spaces_contracts.requests import MAX_BATCH, GetRequests, RequestFinished, RequestView

QUIET_S = 5.0

log = structlog.get_logger()


class Watcher(Protocol):
    """Whom to tell. Called in the loop; may only enqueue."""

    def finished(self, event: RequestFinished) -> None:
        """The end: called at most once per watch, which is then over."""
        ...

    def seen(self, view: RequestView) -> None:
        """The request was looked up because it was quiet, and has not ended."""
        ...


class Watch:
    """One watcher on one request; `stop()` is idempotent."""

    __slots__ = ("_waiters", "heard_at", "request_id", "watcher")

    def __init__(self, waiters: "Waiters", request_id: str, watcher: Watcher, now: float) -> None:
        self._waiters = waiters
        self.request_id = request_id
        self.watcher = watcher
        self.heard_at = now

    def stop(self) -> None:
        """Nothing more is told."""
        self._waiters.drop(self)


class Waiters:
    """All watches of this process. `notify` is the address to name when submitting."""

    def __init__(self, bus: Bus, clock: Clock, gateway_id: str) -> None:
        self._bus = bus
        self._clock = clock
        self._watches: dict[str, list[Watch]] = {}
        self.notify = f"gw.{gateway_id}.cl.{new_id()}"

    def __len__(self) -> int:
        return len(self._watches)

    def watch(self, request_id: str, watcher: Watcher) -> Watch:
        """Starts watching: before the submit when the id is one's own, so that no end is missed."""
        watch = Watch(self, request_id, watcher, self._clock.monotonic())
        self._watches.setdefault(request_id, []).append(watch)
        return watch

    def drop(self, watch: Watch) -> None:
        """Ends one watch."""
        watches = self._watches.get(watch.request_id)
        if watches and watch in watches:
            watches.remove(watch)
            if not watches:
                del self._watches[watch.request_id]

    def heard(self, request_id: str) -> None:
        """Something else was heard of the request (an event): it is not quiet."""
        now = self._clock.monotonic()
        for watch in self._watches.get(request_id, ()):
            watch.heard_at = now

    def finished(self, event: RequestFinished) -> None:
        """A terminal event arrived, from whatever subject; doubles find nobody."""
        for watch in self._watches.pop(event.request_id, ()):
            watch.watcher.finished(event)

    def seen(self, view: RequestView) -> None:
        """A request was read: tells its end, or where it is."""
        if view.state.terminal:
            self.finished(finished_from(view))
            return
        self.heard(view.request_id)
        for watch in list(self._watches.get(view.request_id, ())):
            watch.watcher.seen(view)

    async def look_up(self, request_ids: Sequence[str]) -> None:
        """Reads requests now and tells their watchers. Raises ProblemError (unavailable)."""
        reply = await self._bus.request(
            GetRequests(request_ids=list(request_ids), **dict(EVERYTHING))
        )
        for view in reply.requests:
            self.seen(view)

    async def step(self) -> int:
        """One pass over what was quiet; run each second by a Loop. Returns how many were looked up."""
        now = self._clock.monotonic()
        quiet = [
            request_id
            for request_id, watches in self._watches.items()
            if now - watches[-1].heard_at >= QUIET_S
        ]
        for start in range(0, len(quiet), MAX_BATCH):
            await self._look_up_quiet(quiet[start : start + MAX_BATCH])
        return len(quiet)

    async def _look_up_quiet(self, request_ids: Sequence[str]) -> None:
        try:
            await self.look_up(request_ids)
        except ProblemError as error:
            if error.problem.code is Code.PAYLOAD_TOO_LARGE and len(request_ids) > 1:
                # Their outputs do not fit in one answer.
                middle = len(request_ids) // 2
                await self._look_up_quiet(request_ids[:middle])
                await self._look_up_quiet(request_ids[middle:])
            else:
                log.warning("quiet_requests_not_read", count=len(request_ids), problem=str(error))
            return
        for (
            request_id
        ) in request_ids:  # those that are not known (yet) are not asked for each second
            self.heard(request_id)


def finished_from(view: RequestView) -> RequestFinished:
    """The terminal event of a request that was read from the scheduler."""
    return RequestFinished(
        space_id=view.space_id,
        request_id=view.request_id,
        state=view.state,
        attempt=view.attempt,
        last_n=view.last_n,
        output_json=view.output_json,
        output_files=view.output_files,
        error=view.error,
        created_at=view.created_at,
        started_at=view.started_at,
        finished_at=view.finished_at or view.created_at,
        processing_time_seconds=view.processing_time_seconds,
        timestamp=view.timestamp,
    )


class Callbacks:
    """A watcher made of functions."""

    __slots__ = ("_finished", "_seen")

    def __init__(
        self,
        finished: Callable[[RequestFinished], None],
        seen: Callable[[RequestView], None] | None = None,
    ) -> None:
        self._finished = finished
        self._seen = seen

    def finished(self, event: RequestFinished) -> None:
        self._finished(event)

    def seen(self, view: RequestView) -> None:
        if self._seen is not None:
            self._seen(view)
