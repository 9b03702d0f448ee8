"""Stores chunks in the event stream, many at a time: published at once, acknowledged when the stream answers."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from spaces_chassis.bus import Bus, stored_seq
from spaces_chassis.clock import Clock
from spaces_chassis.errors import BusUnavailable, ProblemError
from spaces_chassis.metrics import Metrics
from spaces_contracts.streams import EVT

# An answer takes a millisecond; after this the chunk is published again and whoever waits for it is told.
LATE_AFTER_S = 0.5
# The stream is a cache: when it stays away, workers go on without it.
GIVE_UP_AFTER_S = 5.0
CHECK_EVERY_S = 0.25

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Entry:
    """One chunk frame on its way."""

    subject: str
    body: bytes
    headers: dict[str, str]
    first_at: float
    sent_at: float
    done: Callable[[bool], None]
    late: Callable[[], None]
    overdue: bool = False


class EventStore:
    """A Part. `done(stored)` is called exactly once per stored event, `late()` at most once before it."""

    name = "event_store"

    def __init__(self, bus: Bus, clock: Clock, metrics: Metrics) -> None:
        self._bus = bus
        self._clock = clock
        self._entries: dict[str, Entry] = {}
        self._count = 0
        self._inbox = bus.inbox(self._answered)
        self._check: asyncio.TimerHandle | None = None
        self._making: asyncio.Task[None] | None = None
        stored = metrics.counter(
            "spaces_gateway_chunk_frames_total", "Chunk frames of workers, by outcome.", ["outcome"]
        )
        self._stored = stored.labels("stored")
        self._given_up = stored.labels("given_up")
        self._repeated = metrics.counter(
            "spaces_gateway_chunk_repeats_total",
            "Chunk frames published again for want of an answer.",
        )

    def store(
        self,
        subject: str,
        body: bytes,
        dedupe: str,
        done: Callable[[bool], None],
        late: Callable[[], None],
    ) -> None:
        """Publishes one event; live watchers have it at once, the stream soon."""
        now = self._clock.monotonic()
        self._count += 1
        token = str(self._count)
        entry = Entry(subject, body, {"Nats-Msg-Id": dedupe}, now, now, done, late)
        self._entries[token] = entry
        self._publish(token, entry)
        if self._check is None:
            self._check = asyncio.get_running_loop().call_later(CHECK_EVERY_S, self.look)

    def _publish(self, token: str, entry: Entry) -> None:
        entry.sent_at = self._clock.monotonic()
        try:
            self._bus.publish_bytes(
                entry.subject,
                entry.body,
                reply_to=self._inbox.address(token),
                headers=entry.headers,
            )
        except BusUnavailable:
            return  # tried again when it is overdue

    def _answered(self, token: str, body: bytes, no_responders: bool) -> None:
        entry = self._entries.get(token)
        if entry is None:
            return
        if no_responders:  # no stream now: tried again when it is overdue
            if self._making is None or self._making.done():
                self._making = asyncio.create_task(self._make_stream())
            return
        try:
            stored_seq(body)
        except ProblemError as error:
            log.warning("chunk_not_stored", subject=entry.subject, problem=str(error))
            return
        del self._entries[token]
        self._stored.inc()
        entry.done(True)

    def look(self) -> None:
        """Publishes again what is overdue, and gives up what is hopeless; runs while something is on its way."""
        if self._check is not None:
            self._check.cancel()
        now = self._clock.monotonic()
        for token, entry in list(self._entries.items()):
            if now - entry.first_at >= GIVE_UP_AFTER_S:
                del self._entries[token]
                self._given_up.inc()
                entry.done(False)
            elif now - entry.sent_at >= LATE_AFTER_S:
                self._repeated.inc()
                self._publish(token, entry)
                if not entry.overdue:
                    entry.overdue = True
                    entry.late()
        self._check = None
        if self._entries:
            self._check = asyncio.get_running_loop().call_later(CHECK_EVERY_S, self.look)

    async def _make_stream(self) -> None:
        try:
            await self._bus.ensure_event_stream()
        except ProblemError as error:  # only the replay suffers, and the next chunk asks again
            log.warning("event_stream_missing", problem=str(error))

    # Part

    async def start(self) -> None:
        """Makes the stream: a fresh broker has none, and one that lost its data has none again."""
        await self._make_stream()

    async def drain(self) -> None:
        """What is not stored yet comes again from its worker, which reconnects elsewhere."""

    async def stop(self) -> None:
        """Forgets what is on its way."""
        if self._check is not None:
            self._check.cancel()
        if self._making is not None:
            self._making.cancel()
        self._entries.clear()

    def healthy(self) -> bool:
        return True


def fits_stream(body: bytes) -> bool:
    """Whether the stream takes a message of this size."""
    return len(body) <= EVT.max_msg_size_bytes - 1024  # headers count, too
