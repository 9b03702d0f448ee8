"""One watcher of one request: live events, the replay, the end and the gaps between them, handed on in order."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import structlog

from spaces_chassis.bus import Bus
from spaces_chassis.clock import Clock
from spaces_chassis.errors import ProblemError
from spaces_contracts.client_socket import After
from spaces_contracts.files import FileRef
from spaces_contracts.requests import (
    RequestEvent,
    RequestFinished,
    RequestState,
    RequestView,
    SubmitVerdict,
)
from spaces_gateway.sockets.client_frames import Told, status, told
from spaces_gateway.sockets.fanout import Fanout
from spaces_gateway.sockets.stream_merge import Output, StreamMerge, joined
from spaces_gateway.waiters import Waiters, Watch, finished_from

# How long missing chunks are looked for once the end is known.
GAP_S = 0.5
GAP_PAUSE_S = 0.025
# One read of the stream, and how much of it goes into one frame.
REPLAY_EVENTS = 128
FRAME_BYTES = 64 * 1024
# Live events kept while a replay waits for its reader.
MAX_PARKED = 256

log = structlog.get_logger(__name__)


class Audience(Protocol):
    """Where a stream's frames go: an outbox, or the buffer of an SSE response."""

    def tell(self, message: Told) -> None:
        """Takes one frame at once."""
        ...

    async def room(self) -> None:
        """Returns when a replay may go on."""
        ...


@dataclass(frozen=True)
class Sources:
    """What streams are fed from; one value a process."""

    bus: Bus
    clock: Clock
    waiters: Waiters
    fanout: Fanout
    hints: "Hints"
    links: "Links"


class Links(Protocol):
    """Gives files addresses."""

    def output_refs(self, files: Sequence[FileRef], request_id: str) -> list[FileRef]: ...


class Hints(Protocol):
    """Tells which queues moved."""

    def add(self, space_id: str, stream: "RequestStream") -> None: ...

    def remove(self, space_id: str, stream: "RequestStream") -> None: ...


class RequestStream:
    """Delivers to its audience until the end, which it also reports to `over`."""

    def __init__(
        self,
        sources: Sources,
        request_id: str,
        audience: Audience,
        over: Callable[["RequestStream"], None],
        after: After | None = None,
    ) -> None:
        self.request_id = request_id
        self.space_id = ""
        self._sources = sources
        self._audience = audience
        self._over = over
        self._merge = StreamMerge(after.attempt, after.n) if after else StreamMerge()
        self._watch: Watch | None = None
        self._parked: list[RequestEvent | RequestFinished] | None = None
        self._stuck_at = -1  # the chunk behind which one is missing for good
        self._told_status: tuple[object, ...] = ()
        self._queued = False
        self._seq = 0
        self._reader: asyncio.Task[None] | None = None
        self._ended = False

    @property
    def _events_subject(self) -> str:
        return f"evt.{self.space_id}.{self.request_id}"

    @property
    def _end_subject(self) -> str:
        return f"fin.{self.space_id}.{self.request_id}"

    # Beginnings

    async def open_new(self, space_id: str) -> None:
        """Before the submit: what comes is held until `accepted`. Raises BusUnavailable.

        The end comes to this process's own address; only events need a subscription.
        """
        self.space_id = space_id
        self.hold()
        self._watch = self._sources.waiters.watch(self.request_id, self)
        await self._sources.fanout.events.add(self._events_subject, self._on_event)

    def accepted(self, verdict: SubmitVerdict) -> None:
        """The client knows its request: what was held goes on."""
        self._told_status = (verdict.state, 0, verdict.position, verdict.queue_size)
        self.placed(verdict.state)
        self.release()

    def stands_at(self, after: After) -> bool:
        """Whether this stream is live and its audience has exactly what somebody says to have."""
        live = not self._ended and self._reader is None and self._parked is None
        return live and (self._merge.attempt, self._merge.n) == (after.attempt, after.n)

    def hold(self) -> None:
        """Keeps what comes until `release`."""
        self._parked = []

    def release(self) -> None:
        """Hands on what was kept."""
        parked, self._parked = self._parked or [], None
        for message in parked:
            if isinstance(message, RequestEvent):
                self._on_event(message)
            else:
                self.finished(message)

    async def open_known(self, view: RequestView, ref: str | None = None) -> None:
        """A request that exists: tells where it is, replays what is stored, then follows. Raises UnavailableError."""
        self.space_id = view.space_id
        self._told_status = _status_key(view)
        self._audience.tell(status(view, ref))
        if not view.state.terminal:
            fanout = self._sources.fanout
            self._watch = self._sources.waiters.watch(self.request_id, self)
            await fanout.events.add(self._events_subject, self._on_event)
            await fanout.ends.add(self._end_subject, _ignore)  # the watch hears it
        self._read(partial(self._catch_up, view))

    async def _catch_up(self, view: RequestView) -> None:
        try:
            await self._replay()
        except ProblemError as error:
            log.warning("replay_failed", request_id=self.request_id, problem=str(error))
        if view.state.terminal:
            self.finished(finished_from(view))
        elif not self._ended:
            # It may have ended between the first look and the subscription.
            await self._sources.waiters.look_up([self.request_id])
        await self._fill_gap()

    # What comes

    def _on_event(self, event: RequestEvent) -> None:
        if self._parked is not None:
            # Beyond a bound events are read again from the stream instead of kept.
            if len(self._parked) < MAX_PARKED:
                self._parked.append(event)
            return
        self._deliver(self._merge.event(event))
        if self._merge.gap and self._merge.n != self._stuck_at:
            self._read(self._fill_gap)

    def finished(self, event: RequestFinished) -> None:
        """The terminal event, from whatever way (a Watcher of Waiters)."""
        if self._parked is not None:
            self._parked.append(event)
            return
        if event.output_files:
            files = self._sources.links.output_refs(event.output_files, self.request_id)
            event = event.model_copy(update={"output_files": files})
        self._deliver(self._merge.finished(event))
        if self._merge.ending:
            self._read(self._fill_gap)

    def seen(self, view: RequestView) -> None:
        """Somebody read the request: its place may have changed (a Watcher of Waiters)."""
        key = _status_key(view)
        if self._ended or self._parked is not None or key == self._told_status:
            return
        self.placed(view.state)
        self._told_status = key
        self._audience.tell(status(view))

    def placed(self, state: RequestState) -> None:
        """Queued requests hear when their queue moves."""
        queued = state is RequestState.QUEUED
        if queued is self._queued or self._ended:
            return
        self._queued = queued
        if queued:
            self._sources.hints.add(self.space_id, self)
        else:
            self._sources.hints.remove(self.space_id, self)

    # Reading what is stored

    def _read(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        if self._reader is None and not self._ended:
            self._reader = asyncio.get_running_loop().create_task(self._reading(work))

    async def _reading(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        try:
            await work()
        except ProblemError as error:
            log.warning("stream_not_read", request_id=self.request_id, problem=str(error))
            self._deliver(self._merge.give_up())
        except Exception:  # a mistake of ours: the watcher still gets its end
            log.exception("stream_reader_failed", request_id=self.request_id)
            self._deliver(self._merge.give_up())
        finally:
            self._reader = None

    async def _replay(self, after_seq: int = 0) -> None:
        """Reads what is stored, as fast as the audience takes it."""
        while not self._ended:
            batch = await self._sources.bus.replay(self._events_subject, after_seq, REPLAY_EVENTS)
            outputs: list[Output] = []
            for seq, body in batch:
                after_seq = self._seq = seq
                event = self._sources.fanout.read(body)
                if event is not None:
                    outputs += self._merge.event(event)
            await self._deliver_slowly(joined(outputs, FRAME_BYTES))
            if len(batch) < REPLAY_EVENTS:
                return

    async def _deliver_slowly(self, outputs: list[Output]) -> None:
        self.hold()  # what comes meanwhile belongs behind these
        for output in outputs:
            await self._audience.room()
            self._tell([output])
        self._end_when_done()
        self.release()

    async def _fill_gap(self) -> None:
        """Looks for missing chunks: those stored since the last look, and at last all."""
        clock = self._sources.clock
        since = clock.monotonic()
        ending = self._merge.ending
        while self._merge.gap and not self._ended:
            if self._merge.ending and not ending:
                ending, since = True, clock.monotonic()
            over = clock.monotonic() - since >= GAP_S
            await self._replay(0 if over else self._seq)
            if over:
                self._stuck_at = self._merge.n
                break
            if self._merge.gap:
                await clock.sleep(GAP_PAUSE_S)
        self._deliver(self._merge.give_up())

    # Handing on

    def _deliver(self, outputs: list[Output]) -> None:
        self._tell(outputs)
        self._end_when_done()

    def _tell(self, outputs: list[Output]) -> None:
        for output in outputs:
            if not self._ended:
                self._audience.tell(told(self.request_id, self.space_id, output))

    def _end_when_done(self) -> None:
        if self._merge.done and not self._ended:
            self.stop()
            self._over(self)

    def stop(self) -> None:
        """Hears and tells nothing more; idempotent."""
        if self._ended:
            return
        self._ended = True
        fanout = self._sources.fanout
        fanout.events.remove(self._events_subject, self._on_event)
        fanout.ends.remove(self._end_subject, _ignore)
        if self._watch is not None:
            self._watch.stop()
            self._watch = None  # it holds this stream
        if self._queued:
            self._sources.hints.remove(self.space_id, self)
        if self._reader is not None and self._reader is not asyncio.current_task():
            self._reader.cancel()


def _status_key(view: RequestView) -> tuple[object, ...]:
    return (view.state, view.attempt, view.position, view.queue_size)


def _ignore(_event: RequestFinished) -> None:
    """The waiters are told by the channel itself."""
