"""The worker socket `/ws/worker`: carries out what its session decides."""

import asyncio
from collections.abc import Coroutine
from functools import partial
from typing import Any

import structlog

from spaces_chassis.errors import (
    BusUnavailable,
    NoResponders,
    ProblemError,
)
from spaces_contracts.connections import Attach, ConnectionDraining
from spaces_contracts.problems import Code, Problem
from spaces_gateway.sockets.answers import close, error
from spaces_gateway.sockets.door import Receive, Scope, SendMessage, Visit, until_disconnect
from spaces_gateway.sockets.effects import (
    AskAttach,
    AskDrain,
    Close,
    End,
    Hold,
    Publish,
    Release,
    Send,
    Store,
    Suspect,
    WorkerEffect,
)
from spaces_gateway.sockets.event_store import fits_stream
from spaces_gateway.sockets.outbox import Outbox
from spaces_gateway.sockets.worker_hub import WorkerHub
from spaces_gateway.sockets.worker_session import FromBus, WorkerSession

# The registry may be starting, too; an agent waits longer than this for its answer.
ATTACH_S = 5.0
_BINARY = Problem(code=Code.MALFORMED_FRAME, message="Frames are text; this one was binary.")
_FAILED = Problem(code=Code.INTERNAL_ERROR)
_SLOW = Problem(code=Code.SLOW_CONSUMER, message="Too much waits to be read on this connection.")

log = structlog.get_logger(__name__)


class WorkerSocketApp:
    """The ASGI application behind `/ws/worker`."""

    def __init__(self, hub: WorkerHub) -> None:
        self._hub = hub

    async def __call__(self, scope: Scope, receive: Receive, send: SendMessage) -> None:
        visit = await self._hub.door.open(scope, receive, send, kind="worker")
        if visit is None:
            return
        socket = WorkerSocket(self._hub, visit)
        try:
            await until_disconnect(receive)
        finally:
            socket.closed()


class WorkerSocket:
    """One worker's socket."""

    def __init__(self, hub: WorkerHub, visit: Visit) -> None:
        loop = asyncio.get_running_loop()
        limits = hub.door.limits
        self.wire = visit.wire
        self.session = WorkerSession(hub.identity.gateway_id, hub.clock.monotonic())
        self._hub = hub
        self._visit = visit
        self._outbox = Outbox(visit.wire, limits.worker_outbox, self._overflowed, loop)
        self._greeting = loop.call_later(limits.first_frame_s, self._first_frame_missing)
        self._tasks: set[asyncio.Task[None]] = set()
        self._suspected: list[str] = []
        self._unstored_bytes = 0
        hub.sockets.add(self)
        self.wire.attach(self)

    # Sink

    def on_text(self, text: str) -> None:
        self._perform(self.session.frame(text, self._hub.clock.monotonic()))

    def on_binary(self, data: bytes) -> None:
        self._perform(self.session.bad_frame(_BINARY))

    def on_writable(self) -> None:
        self._outbox.flush()

    # From the hub

    def deliver(self, connection_id: str, message: FromBus) -> None:
        """A job, a cancel or an acknowledgement."""
        self._perform(self.session.deliver(connection_id, message))

    def drain(self, connection_id: str) -> None:
        """The connection gets nothing new."""
        self._perform(self.session.drain(connection_id))

    def kick(self, connection_id: str, problem: Problem) -> None:
        """The connection is over."""
        self._perform(self.session.kick(connection_id, problem))

    def tick(self, now: float) -> list[str]:
        """Looks after the heartbeat; returns the connections that became suspect."""
        if self._unstored_bytes > self._hub.door.limits.unstored_bytes:
            return []  # we do not read, so silence says nothing
        self._perform(self.session.tick(now))
        suspected, self._suspected = self._suspected, []
        return suspected

    def go_away(self, reconnect_after_s: float) -> None:
        """The process stops."""
        self._perform(self.session.go_away(reconnect_after_s))

    def closed(self) -> None:
        """The socket is gone."""
        self._greeting.cancel()
        self._outbox.close()
        self._hub.sockets.discard(self)
        self._visit.leave()
        self._perform(self.session.closed())

    # Effects

    def _perform(self, effects: list[WorkerEffect]) -> None:
        for effect in effects:
            if isinstance(effect, Send):
                self._outbox.put(effect.frame)
            elif isinstance(effect, Publish):
                self._publish(effect)
            elif isinstance(effect, Store):
                self._store(effect)
            else:
                self._perform_rare(effect)

    def _perform_rare(
        self, effect: Close | AskAttach | Hold | Release | Suspect | End | AskDrain
    ) -> None:
        if isinstance(effect, Close):
            self._outbox.flush()
            self.wire.close(effect.code, effect.reason)
        elif isinstance(effect, Hold):
            self._greeting.cancel()
            for connection_id in effect.connection_ids:
                self._hub.hold(connection_id, self)
        elif isinstance(effect, Release):
            for connection_id in effect.connection_ids:
                self._hub.release(connection_id)
        elif isinstance(effect, Suspect):
            self._suspected += effect.connection_ids
        elif isinstance(effect, End):
            self._hub.endings.add(
                effect.connection_ids, clean=effect.clean, heard_at=self.session.heard_at
            )
        elif isinstance(effect, AskAttach):
            self._run(self._attach(effect.command))
        else:
            self._run(self._ask_drain(effect))

    def _publish(self, message: Publish) -> None:
        try:
            self._hub.bus.publish_bytes(message.subject, message.body, reply_to=message.reply_to)
        except BusUnavailable:
            # Every one of these comes again: results until acknowledged, answers when the job is repeated.
            log.debug("not_published", subject=message.subject)

    def _store(self, chunk: Store) -> None:
        if not fits_stream(chunk.body):  # watchers get it live, and the whole output at the end
            self._publish(Publish(chunk.subject, chunk.body))
            self._perform(self.session.chunk_stored(chunk.request_id, chunk.attempt, chunk.n))
            return
        self._unstored_bytes += len(chunk.body)
        if self._unstored_bytes > self._hub.door.limits.unstored_bytes:
            self.wire.pause_reading()
        self._hub.events.store(
            chunk.subject,
            chunk.body,
            chunk.dedupe,
            partial(self._stored, chunk),
            partial(self._late, chunk),
        )

    def _stored(self, chunk: Store, stored: bool) -> None:
        self._unstored_bytes -= len(chunk.body)
        if self._unstored_bytes <= self._hub.door.limits.unstored_bytes // 2:
            self.wire.resume_reading()
        self._perform(self.session.chunk_stored(chunk.request_id, chunk.attempt, chunk.n))

    def _late(self, chunk: Store) -> None:
        self._perform(self.session.chunk_late(chunk.request_id, chunk.attempt))

    # Questions to the registry

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._task_done)

    def _task_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (failure := task.exception()) is not None:
            log.error("registry_not_asked", exc_info=failure)
            self.wire.close(close(_FAILED).code, _FAILED.code)

    async def _attach(self, command: Attach) -> None:
        try:
            reply = await self._hub.bus.request(command, timeout_s=ATTACH_S)
        except NoResponders as failed:
            effects = self.session.attach_failed(failed.problem, certain=True)
        except ProblemError as failed:
            # A failure that may pass leaves open what was done; a refusal does not.
            certain = not failed.problem.kind.retry
            effects = self.session.attach_failed(failed.problem, certain=certain)
        else:
            self._visit.identified()
            effects = self.session.attached(reply.verdicts)
        self._perform(effects)

    async def _ask_drain(self, effect: AskDrain) -> None:
        """The agent drains by itself; what is sent to it nevertheless it gives back."""
        draining = ConnectionDraining(connection_ids=list(effect.connection_ids))
        try:
            await self._hub.bus.request(draining)
        except ProblemError as failed:
            log.warning("drain_not_asked", problem=str(failed))
            self._perform([error(failed.problem)])

    # Ends

    def _first_frame_missing(self) -> None:
        self._perform(self.session.first_frame_missing())

    def _overflowed(self) -> None:
        log.warning("worker_reads_too_slowly", connections=len(self.session.connections))
        self._visit.too_slow()
        self.wire.write([error(_SLOW).frame])
        self.wire.close(close(_SLOW).code, _SLOW.code)
