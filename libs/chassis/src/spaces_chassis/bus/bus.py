"""The bus: publish, request, serve and listen by typed message. A Part of the process."""

import asyncio
import contextlib
import re
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, TypeVar, cast

import structlog

from spaces_chassis.bus import events
from spaces_chassis.bus.dispatch import Dispatcher
from spaces_chassis.bus.inbox import Answers, Inbox, InboxCallback, ReplyBox
from spaces_chassis.bus.meters import BusMeters
from spaces_chassis.bus.refusals import Refusals
from spaces_chassis.bus.replies import decode_reply
from spaces_chassis.bus.routes import Route, headers_with_deadline
from spaces_chassis.bus.sequences import Collector, one_by_one
from spaces_chassis.bus.subscription import Subscription
from spaces_chassis.bus.throttle import Throttle
from spaces_chassis.bus.transport import Packet, Transport
from spaces_chassis.clock import Clock, SystemClock
from spaces_chassis.errors import BusUnavailable, UnavailableError
from spaces_chassis.metrics import Metrics
from spaces_contracts.identifiers import new_id
from spaces_contracts.message import Command, Message, Reply
from spaces_contracts.streams import EVT

if TYPE_CHECKING:
    from spaces_chassis.settings import BusSettings

R = TypeVar("R", bound=Reply)
log = structlog.get_logger(__name__)

# Above this a publisher waits for the socket: nobody else bounds what a slow server makes us keep.
_UNSENT_LIMIT_BYTES = 4 * 1024 * 1024
_BARRIER_S = 5.0
_ONE_TOKEN = re.compile(r"[A-Za-z0-9_-]+")
# What the stream stores is read back one by one.
_STORED = tuple(subject.removesuffix(">") for subject in EVT.subjects)


class Bus:
    """Typed messages over a transport. Core delivery: a message may be lost, late or doubled."""

    def __init__(
        self,
        transport: Transport,
        *,
        name: str,
        clock: Clock | None = None,
        metrics: Metrics | None = None,
        inbox_prefix: str = "_INBOX",
    ) -> None:
        self.name = "bus"
        self._transport = transport
        self.server_info = transport.server_info  # what the broker said of itself
        self._clock = clock or SystemClock()
        self._meters = BusMeters(metrics or Metrics(name))
        self._dispatcher = Dispatcher(self, self._meters)
        self._replies = ReplyBox(f"{inbox_prefix}.{new_id()}")
        self._collector = Collector(self._send)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._routes: list[Route] = []
        self._subscriptions: set[Subscription] = set()
        self._errors = Throttle(self._clock)
        self._refusals = Refusals(self._clock, self._meters)
        self._late: set[asyncio.Task[Subscription]] = set()
        self._since: float | None = None
        self._stopping = False
        self._death: asyncio.Future[BaseException] | None = None

    @classmethod
    def from_settings(
        cls,
        settings: "BusSettings",
        *,
        name: str,
        clock: Clock | None = None,
        metrics: Metrics | None = None,
        inbox_prefix: str | None = None,
    ) -> "Bus":
        """A bus over NATS. `name` is shown in the server's connection list.

        Answers come to `inbox_prefix`, else under `_INBOX.<user>`: no other user needs to hear them.
        """
        from spaces_chassis.bus.nats_transport import NatsTransport  # the agent may run without it

        inbox_prefix = inbox_prefix or _inbox_of(settings.nats_user)
        transport = NatsTransport(settings, name=name, inbox_prefix=inbox_prefix)
        return cls(transport, name=name, clock=clock, metrics=metrics, inbox_prefix=inbox_prefix)

    # --- Part ---------------------------------------------------------------------------------

    async def start(self) -> None:
        """Connects (waiting for the server as long as it takes) and subscribes all routes.

        Raises PermissionError for a subject that the NATS user may not subscribe to.
        """
        self._loop = asyncio.get_running_loop()
        self._death = self._loop.create_future()
        await self._transport.connect(self)
        await self._transport.subscribe(
            self._replies.pattern, None, one_by_one(self._replies.receive, False)
        )
        for route in self._routes:
            await self._subscribe(route, route.subject)
        await self.flush()
        for subject in (self._replies.pattern, *(route.subject for route in self._routes)):
            self._refuse_denied(subject)

    def healthy(self) -> bool:
        """Whether messages flow now."""
        return self.connected

    async def drain(self) -> None:
        """Stops taking messages, and waits for the handlers that run. Requests still work."""
        for subscription in list(self._subscriptions):
            with contextlib.suppress(UnavailableError):
                await subscription.drain()
        await self._dispatcher.idle()

    async def stop(self) -> None:
        """Sends what is left and disconnects; handlers that still run are cancelled."""
        self._stopping = True
        for task in self._late:
            task.cancel()
        await self._dispatcher.cancel()
        self._flush()
        await self._transport.close()
        self._replies.fail_all(BusUnavailable("the bus was stopped"))

    async def died(self) -> BaseException:
        """Returns when the connection is gone for good; the process should end."""
        assert self._death is not None, "start() first"
        return await asyncio.shield(self._death)

    # --- listening ----------------------------------------------------------------------------

    def add_routes(self, routes: Sequence[Route]) -> None:
        """Adds routes. After start they are subscribed in the background; see `subscribe`."""
        if self._death is None:
            self._routes.extend(routes)
            return
        for route in routes:
            task = asyncio.get_running_loop().create_task(self.subscribe(route))
            self._late.add(task)
            task.add_done_callback(self._late_done)

    async def subscribe(self, route: Route, subject: str | None = None) -> Subscription:
        """Listens from now on: when it returns, the server knows.

        Raises BusUnavailable, or PermissionError for a subject that the NATS user may not subscribe to.
        """
        subscription = await self._subscribe(route, subject or route.subject)
        try:
            await self.flush()
            self._refuse_denied(subject or route.subject)
        except (UnavailableError, PermissionError):
            await subscription.stop()
            raise
        return subscription

    def _refuse_denied(self, subject: str) -> None:
        # The server's refusal comes before its answer to the barrier, as an error of the connection.
        if self._refusals.took(subject):
            raise PermissionError(f"this NATS user may not subscribe to {subject}")

    async def _subscribe(self, route: Route, subject: str) -> Subscription:
        if not subject:
            raise ValueError(f"{route.name} is reached under many subjects: name one")
        handle = await self._transport.subscribe(
            subject, route.queue, one_by_one(self._dispatcher.receiver(route), route.is_async)
        )
        subscription = Subscription(handle, self._forget)
        self._subscriptions.add(subscription)
        return subscription

    def _forget(self, subscription: Subscription) -> None:
        self._subscriptions.discard(subscription)

    def _late_done(self, task: "asyncio.Task[Subscription]") -> None:
        self._late.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.on_closed(f"a route could not be subscribed: {error}")

    # --- publishing ---------------------------------------------------------------------------

    async def publish(
        self,
        message: Message,
        *,
        reply_to: str | None = None,
        headers: Mapping[str, str] | None = None,
        timeout_s: float | None = None,
    ) -> None:
        """Sends a message to whoever listens. Raises BusUnavailable: nothing is kept for later.

        With `timeout_s` receivers drop the message when they get it later than that.
        """
        await self.publish_to(
            message.address(), message, reply_to=reply_to, headers=headers, timeout_s=timeout_s
        )

    async def publish_to(
        self,
        subject: str,
        message: Message,
        *,
        reply_to: str | None = None,
        headers: Mapping[str, str] | None = None,
        timeout_s: float | None = None,
    ) -> None:
        """Like publish, on a subject that was named, such as one under a connection's route."""
        self.publish_bytes(
            subject, message.encode(), reply_to=reply_to, headers=headers, timeout_s=timeout_s
        )
        if self._collector.bytes + self._transport.unsent_bytes > _UNSENT_LIMIT_BYTES:
            await self.flush()

    def publish_bytes(
        self,
        subject: str,
        body: bytes,
        *,
        reply_to: str | None = None,
        headers: Mapping[str, str] | None = None,
        timeout_s: float | None = None,
    ) -> None:
        """Sends bytes without waiting: for callbacks. Raises BusUnavailable.

        What one turn of the event loop publishes to the same subject travels as one message, and is told apart
        again on the other side. Who sends much calls `await flush()` now and then, or sends with `publish`,
        which does so itself.
        """
        if not self._transport.connected:
            raise BusUnavailable("the bus is not connected")
        if headers is None and timeout_s is None and not subject.startswith(_STORED):
            if not self._collector:
                assert self._loop is not None, "start() first"
                self._loop.call_soon(self._flush)
            self._collector.add(subject, body, reply_to)
            return
        self._flush()  # what was published before goes first
        deadline_ms = None if timeout_s is None else self.unix_ms() + int(timeout_s * 1000)
        self._transport.publish(
            subject, body, reply_to, headers_with_deadline(headers, deadline_ms)
        )

    async def flush(self) -> None:
        """Returns when the server has all that was published. Raises BusUnavailable."""
        self._flush()
        await self._transport.barrier(_BARRIER_S)

    def _flush(self) -> None:
        """Hands over what this turn of the loop collected."""
        if not self._collector:
            return
        if self._transport.connected:
            self._collector.flush()
        else:
            self._collector.drop()

    def _send(self, subject: str, body: bytes, reply_to: str | None) -> None:
        # Between collecting and sending the connection may end: then the messages are lost, as on the way.
        with contextlib.suppress(BusUnavailable):
            self._transport.publish(subject, body, reply_to, None)

    # --- asking -------------------------------------------------------------------------------

    async def request(self, command: Command[R], timeout_s: float = 2.0) -> R:
        """Sends a command and waits for its answer.

        Raises ProblemError (the answer was a problem), NoResponders (certainly not done),
        BusTimeout or BusUnavailable (unknown whether done).
        """
        reply_type = cast("type[R]", command.reply)
        return await self.request_to(command.address(), command, reply_type, timeout_s)

    async def request_to(
        self, subject: str, message: Message, reply_type: type[R], timeout_s: float = 2.0
    ) -> R:
        """Like request, on a subject that was named."""
        packet = await self.request_bytes(subject, message.encode(), timeout_s=timeout_s)
        return decode_reply(reply_type, packet.body)

    async def request_bytes(
        self,
        subject: str,
        body: bytes,
        *,
        headers: Mapping[str, str] | None = None,
        timeout_s: float = 2.0,
    ) -> Packet:
        """Sends bytes and waits for one answer, unread. Raises like request, but no ProblemError."""
        with (
            self._meters.request_seconds.time(),
            self._replies.expect(subject, timeout_s) as answer,
        ):
            self.publish_bytes(
                subject, body, reply_to=answer.address, headers=headers, timeout_s=timeout_s
            )
            return await answer.packet

    def inbox(self, callback: InboxCallback, name: str | None = None) -> Inbox:
        """An address for answers to what is published with `reply_to=inbox.address(token)`.

        The name, one token, is part of the address: permissions may speak of it.

        `callback(token, body, no_responders)` is called at once for each answer: with the token of the
        address it came to, and with no_responders=True and b"" when nobody listened. Read the body with
        `decode_reply`, or `stored_seq` for events. An answer may never come.
        """
        return self._replies.inbox(callback, name)

    # --- the event stream ---------------------------------------------------------------------

    async def ensure_event_stream(
        self, *, replicas: int = 1, max_bytes: int = events.MAX_BYTES
    ) -> None:
        """Makes stream EVT, or brings its settings up to date. Raises UnavailableError."""
        await events.ensure_stream(self, replicas=replicas, max_bytes=max_bytes)

    async def publish_event(
        self, message: Message, *, dedupe: str | None = None, timeout_s: float = 2.0
    ) -> int:
        """Stores an event in EVT and returns its sequence number. Raises UnavailableError.

        With a `dedupe` key a repeat within the stream's window is stored once.
        """
        return await events.publish(self, message.address(), message.encode(), dedupe, timeout_s)

    async def replay(
        self, subject: str, after_seq: int = 0, limit: int = 4096, timeout_s: float = 5.0
    ) -> list[tuple[int, bytes]]:
        """What EVT still has on a subject (wildcards allowed) after a sequence number, in order."""
        return await events.replay(self, subject, after_seq, limit, timeout_s)

    def collect(self, subject: str, timeout_s: float) -> AbstractContextManager[Answers]:
        """For the event stream only: a request with several answers."""
        return self._replies.expect_many(subject, timeout_s)

    # --- connection ---------------------------------------------------------------------------

    @property
    def connected(self) -> bool:
        """Whether messages flow now."""
        return self._since is not None and self._transport.connected

    @property
    def connected_for_s(self) -> float:
        """Seconds since the last (re)connect; 0 while disconnected."""
        if self._since is None or not self._transport.connected:
            return 0.0
        return self._clock.monotonic() - self._since

    def unix_ms(self) -> int:
        """The wall clock in ms, as deadlines are written."""
        return int(time.time() * 1000)

    def on_connected(self) -> None:
        """Called by the transport."""
        self._since = self._clock.monotonic()
        self._meters.connected.set(1)
        self._meters.connects.inc()
        log.info("bus_connected")

    def on_disconnected(self) -> None:
        """Called by the transport. Answers that were under way are not waited for."""
        if self._since is None:
            return
        self._since = None
        self._collector.drop()
        self._meters.connected.set(0)
        if not self._stopping:
            log.warning("bus_disconnected")
        self._replies.fail_all(BusUnavailable("the bus was disconnected"))

    def on_closed(self, reason: str) -> None:
        """Called by the transport when it will not reconnect."""
        self.on_disconnected()
        if not self._stopping and self._death is not None and not self._death.done():
            log.error("bus_closed", reason=reason)
            self._death.set_result(BusUnavailable(f"the bus closed: {reason}"))

    def on_error(self, error: Exception) -> None:
        """Called by the transport for errors that belong to no call of ours."""
        self._meters.errors.inc()
        text = str(error) or type(error).__name__
        if self._refusals.note(text):
            return
        # A server that is down fails each attempt, and a flood drops each message: one line a second tells it.
        if self._errors.passes():
            log.warning("bus_error", error=text)


def _inbox_of(user: str | None) -> str:
    return f"_INBOX.{user}" if user and _ONE_TOKEN.fullmatch(user) else "_INBOX"
