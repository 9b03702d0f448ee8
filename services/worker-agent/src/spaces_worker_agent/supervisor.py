"""Keeps the agent connected for ever, and ends it in the right way."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import structlog

from spaces_contracts.frames import ErrorFrame, GoAway
from spaces_contracts.problems import Problem
from spaces_contracts.worker_socket import (
    Cancel,
    ChunkAck,
    Drain,
    Kick,
    Registered,
    RegisterError,
    ResultAckFrame,
)
from spaces_worker_agent.attempts import Job, Key
from spaces_worker_agent.backoff import Backoff
from spaces_worker_agent.engine import Engine
from spaces_worker_agent.exits import Exit, Leave
from spaces_worker_agent.link import Incoming, Introduction, Link, LinkDown, LinkUnusable
from spaces_worker_agent.membership import Membership, Retry

log = structlog.get_logger()

HOUSE_S = 1.0
STEADY_S = 10.0  # a connection that lasted that long starts the backoff anew


class Supervisor:
    """One agent's life from the first connection to the exit code."""

    def __init__(
        self,
        link: Link,
        engine: Engine,
        introduce: Callable[[tuple[str, ...]], Introduction],
        spaces: tuple[str, ...],
        *,
        backoff: Backoff | None = None,
        drain_s: float = 300.0,
    ) -> None:
        self._link = link
        self._engine = engine
        self._session = engine.session
        self._introduce = introduce
        self._members = Membership(spaces)
        self._backoff = backoff or Backoff()
        self._drain_s = drain_s
        self._heartbeat_s = 1.0
        self._leave_as = Exit.OK
        self._drain = asyncio.Event()
        self._stop = asyncio.Event()
        self._registered = asyncio.Event()
        self._full = asyncio.Event()  # the link has no room
        self._rejoin: Retry | None = None
        self._rejoin_at = 0.0
        self._alarm: asyncio.TimerHandle | None = None
        self._alarm_at = 0.0

    def drain(self) -> None:
        """Finish what runs, then leave. The second call leaves now."""
        if self._drain.is_set():
            self._stop.set()
            return
        self._begin_drain(Exit.OK)

    def _begin_drain(self, leave_as: Exit) -> None:
        if self._drain.is_set():
            return
        log.info("draining", running=self._session.running, at_most_s=self._drain_s)
        self._leave_as = leave_as
        self._engine.drain()
        self._drain.set()
        asyncio.get_running_loop().call_later(self._drain_s, self._stop.set)

    async def run(self) -> Leave:
        """Serves until there is a reason to leave, which is returned."""
        self._engine.say = self._say
        work = [
            asyncio.create_task(self._serve(), name="serve"),
            asyncio.create_task(self._stopped(), name="stopped"),
            asyncio.create_task(self._engine.spool.flush_forever(), name="flush"),
            asyncio.create_task(self._keep_house(), name="house"),
        ]
        try:
            await _first(work)
        except Leave as leave:
            self._registered.clear()  # from here on nothing is sent
            if self._session.running:
                await self._engine.kill()
            else:
                await self._engine.close()
            return leave
        finally:
            if self._alarm is not None:
                self._alarm.cancel()
            await self._link.close()
        raise AssertionError("the work of the supervisor never ends by itself")

    async def _stopped(self) -> None:
        await self._stop.wait()
        raise Leave(Exit.STOPPED, "Stopped at once; what ran is given up and will be run again.")

    async def _keep_house(self) -> None:
        while True:
            await asyncio.sleep(HOUSE_S)
            self._engine.keep_house()

    async def _serve(self) -> None:
        while True:
            opened_at = time.monotonic()
            try:
                await self._connected()
            except LinkDown as down:
                self._after_cut(down, opened_at)
                delay = self._backoff.next_s(down.retry_after_s)
                log.warning("reconnecting", reason=str(down), after_s=round(delay, 2))
            await self._pause(delay)

    def _after_cut(self, down: LinkDown, opened_at: float) -> None:
        self._session.disconnected()
        self._registered.clear()
        if isinstance(down, LinkUnusable) and not self._members.served_before:
            raise Leave(down.exit_code, str(down))
        if self._members.serving and time.monotonic() - opened_at > STEADY_S:
            self._backoff.reset()
        self._leave_without_link()

    async def _pause(self, delay: float) -> None:
        """Waits before the next try; while draining, also for handlers that still run."""
        draining = self._drain.is_set()
        if not draining:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(delay):
                    await self._drain.wait()
            self._leave_without_link()
            return
        await asyncio.sleep(delay)

    def _leave_without_link(self) -> None:
        if self._drain.is_set() and not self._session.running:
            kept = self._session.unacknowledged
            note = f" {kept} results wait in the spool for the next start." if kept else ""
            raise Leave(self._leave_as, f"Stopped while not connected.{note}")

    async def _connected(self) -> None:
        """One connection, from opening to its end. Raises LinkDown or Leave."""
        self._members.begin()
        self._registered.clear()
        self._full.clear()
        introduction = self._introduce(tuple(self._members.wanted))
        if self._members.served_before:
            # Whoever took the place meanwhile was told to; the own ghost gives way without it.
            introduction = replace(introduction, takeover=False)
        await self._link.open(introduction)
        self._rejoin = None
        tasks = (self._read(), self._write(), self._beat(), self._watch(), self._leave())
        await _first([asyncio.create_task(task) for task in tasks])

    async def _read(self) -> None:
        await self._link.listen(self._hear_all)

    def _hear_all(self, frames: Sequence[Incoming]) -> None:
        for frame in frames:
            self._hear(frame)
        self._engine.turn_over()

    def _hear(self, frame: Incoming) -> None:
        if isinstance(frame, Job):
            self._engine.job(frame)
            return
        now = time.monotonic()
        if isinstance(frame, ChunkAck):
            self._engine.chunks_acked(Key(frame.request_id, frame.attempt), frame.n)
        elif isinstance(frame, ResultAckFrame):
            key = Key(frame.request_id, frame.attempt)
            self._engine.apply(self._session.result_acked(key, frame.outcome, now))
        elif isinstance(frame, Cancel):
            key = Key(frame.request_id, frame.attempt)
            reason = Problem(code=frame.code, message=frame.message)
            self._engine.apply(self._session.cancel(key, reason, now))
        else:
            self._hear_about_connection(frame, now)

    def _hear_about_connection(self, frame: Incoming, now: float) -> None:
        if isinstance(frame, Registered):
            self._join(frame, now)
        elif isinstance(frame, RegisterError):
            self._come_back(self._members.refused(frame))
            log.warning("space_not_served", space=frame.space, code=frame.code, why=frame.message)
        elif isinstance(frame, Kick):
            self._kicked(frame, now)
        elif isinstance(frame, Drain):
            if self._members.drained(frame.connection_id):
                self._begin_drain(Exit.DRAINED)
        elif isinstance(frame, GoAway):
            raise LinkDown("the gateway is going away", frame.reconnect_after_s)
        elif isinstance(frame, ErrorFrame):
            log.warning("gateway_reports", code=frame.code, message=frame.message, ref=frame.ref)
            self._members.complained(frame)
            key = frame.request_id
            if key is not None:
                self._engine.apply(self._session.not_taken(key, frame.code, frame.message))

    def _join(self, frame: Registered, now: float) -> None:
        self._heartbeat_s = min(30.0, max(0.05, frame.heartbeat_s))
        log.info(
            "serving",
            space=frame.name,
            space_id=frame.space_id,
            connection_id=frame.connection_id,
            adopted=len(frame.adopted),
            abandoned=len(frame.abandon),
        )
        effects = self._session.registered(frame.space_id, frame.adopted, frame.abandon, now)
        self._engine.apply(effects)
        self._registered.set()
        self._come_back(self._members.joined(frame))

    def _kicked(self, frame: Kick, now: float) -> None:
        problem = Problem(code=frame.code, message=frame.message)
        outcome = self._members.ended(frame.connection_id, problem, retry=frame.retry)
        if isinstance(outcome, Retry):
            raise LinkDown(f"the gateway ended the connection: {outcome.reason}", outcome.after_s)
        log.error("space_lost", code=frame.code, why=frame.message)
        self._engine.apply(self._session.leave_space(outcome, now))

    def _come_back(self, retry: Retry | None) -> None:
        if retry is None:
            return
        if not self._members.serving:
            raise LinkDown(retry.reason, retry.after_s)
        log.warning("some_spaces_not_served", reason=retry.reason, again_after_s=retry.after_s)
        self._rejoin = retry
        self._rejoin_at = time.monotonic() + retry.after_s

    def _say(self) -> None:
        """Sends what is outgoing; called by the engine whenever there may be something."""
        if not self._registered.is_set() or self._full.is_set():
            return
        items = self._engine.outgoing()
        if items and not self._link.send(items):
            self._full.set()
        else:
            self._ring_at(self._session.next_due())

    async def _write(self) -> None:
        """Goes on when there is room again."""
        while True:
            await self._full.wait()
            await self._link.room()
            self._full.clear()
            self._say()

    def _ring_at(self, due: float | None) -> None:
        """Wakes the writer then. An alarm that rings too early does no harm, so it is only ever made earlier."""
        if due is None or (self._alarm is not None and self._alarm_at <= due):
            return
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm_at = due
        delay = due - time.monotonic()
        self._alarm = asyncio.get_running_loop().call_later(delay, self._ring)

    def _ring(self) -> None:
        self._alarm = None
        self._engine.turn_over()

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(self._heartbeat_s)
            await self._link.beat(self._session.running)
            if self._rejoin is not None and time.monotonic() >= self._rejoin_at:
                raise LinkDown(self._rejoin.reason)

    async def _watch(self) -> None:
        """Separate from the beat, which may hang in a full socket."""
        while True:
            limit = max(5.0, 4 * self._heartbeat_s)
            silent = self._link.silent_s()
            if silent >= limit:
                raise LinkDown(f"nothing was heard from the gateway for {silent:.0f} s")
            await asyncio.sleep(limit - silent)

    async def _leave(self) -> None:
        """Leaves once everything is done that was asked for."""
        await self._drain.wait()
        await self._registered.wait()
        await self._link.say_draining()
        while not self._session.idle:
            self._engine.settled.clear()
            await self._engine.settled.wait()
        await self._link.say_bye()
        raise Leave(self._leave_as, "All work is finished.")


async def _first(tasks: "list[asyncio.Task[None]]") -> None:
    """Waits for the first to end, ends the others and raises what it raised."""
    for task in tasks:
        task.add_done_callback(_look_at)
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        await _end(tasks)
    for task in done:
        task.result()


async def _end(tasks: "list[asyncio.Task[None]]") -> None:
    """Cancels until all have ended: `asyncio.wait_for` of Python 3.11 may swallow one cancel."""
    pending = {task for task in tasks if not task.done()}
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=0.1)


def _look_at(task: "asyncio.Task[None]") -> None:
    """Only the first error counts; asyncio would complain about the others."""
    if not task.cancelled():
        task.exception()
