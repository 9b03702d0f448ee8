"""Who in this process hears what the bus tells about requests and spaces: one subscription each."""

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

import structlog
from pydantic import ValidationError

from spaces_chassis.bus import Bus, Delivery, Route, Subscription, listen
from spaces_chassis.metrics import Metrics
from spaces_contracts.requests import RequestEvent, RequestFinished
from spaces_contracts.spaces import SpaceEvent
from spaces_gateway.sockets.stream_merge import readable
from spaces_gateway.waiters import Waiters

# A space's subscription outlives its last listener: the next request to the same space is usually close.
SPACE_LINGER_S = 5.0

M = TypeVar("M")
log = structlog.get_logger(__name__)


class Channel(Generic[M]):
    """Listeners of one subject, and the subscription they share."""

    __slots__ = ("listeners", "opening", "subscription", "timer")

    def __init__(self) -> None:
        self.listeners: list[Callable[[M], None]] = []
        self.opening: asyncio.Task[Subscription] | None = None
        self.subscription: Subscription | None = None
        self.timer: asyncio.TimerHandle | None = None


class Channels(Generic[M]):
    """Channels by subject. `route(subject, tell)` makes the subscription's handler."""

    def __init__(
        self, bus: Bus, route: Callable[[str, Callable[[M], None]], Route], linger_s: float = 0.0
    ) -> None:
        self._bus = bus
        self._route = route
        self._linger_s = linger_s
        self._channels: dict[str, Channel[M]] = {}
        self._closing: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._channels)

    async def add(self, subject: str, listener: Callable[[M], None]) -> None:
        """When this returns the server knows. Raises BusUnavailable, and then nothing is added."""
        channel = self._channels.get(subject)
        if channel is None:
            channel = self._channels[subject] = Channel()
            tell = self._teller(channel)
            route = self._route(subject, tell)
            channel.opening = asyncio.ensure_future(self._bus.subscribe(route, subject))
        if channel.timer is not None:
            channel.timer.cancel()
            channel.timer = None
        channel.listeners.append(listener)
        opening = channel.opening
        if opening is None:
            return
        try:
            channel.subscription = await asyncio.shield(opening)
            channel.opening = None
        except BaseException as error:  # also when who asked is gone: its listener must not stay
            if not isinstance(error, asyncio.CancelledError):
                self._channels.pop(subject, None)  # the next one to ask tries again
            self.remove(subject, listener)
            raise

    def remove(self, subject: str, listener: Callable[[M], None]) -> None:
        """The listener hears nothing more; the last one takes the subscription along."""
        channel = self._channels.get(subject)
        if channel is None or listener not in channel.listeners:
            return
        channel.listeners.remove(listener)
        if channel.listeners:
            return
        if self._linger_s > 0:
            loop = asyncio.get_running_loop()
            channel.timer = loop.call_later(self._linger_s, self._close, subject, channel)
        else:
            self._close(subject, channel)

    def _close(self, subject: str, channel: Channel[M]) -> None:
        if self._channels.pop(subject, None) is None:
            return
        task = asyncio.get_running_loop().create_task(_end(channel))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    @staticmethod
    def _teller(channel: Channel[M]) -> Callable[[M], None]:
        def tell(message: M) -> None:
            for listener in tuple(channel.listeners):
                listener(message)

        return tell

    async def stop(self) -> None:
        """Ends all subscriptions."""
        for channel in self._channels.values():
            if channel.timer is not None:
                channel.timer.cancel()
        self._channels.clear()
        if self._closing:
            await asyncio.wait(self._closing)


async def _end(channel: Channel[M]) -> None:
    # The subscription's handler holds the channel: kept, both would wait for a collection of the garbage collector.
    opening, channel.opening = channel.opening, None
    subscription, channel.subscription = channel.subscription, None
    if opening is not None:
        try:
            subscription = await opening
        except Exception:  # who asked for it was told; there is nothing to end
            return
    if subscription is not None:
        await subscription.stop()


class Fanout:
    """A Part: events and ends of requests, and events of spaces."""

    name = "fanout"

    def __init__(self, bus: Bus, waiters: Waiters, metrics: Metrics) -> None:
        self._waiters = waiters
        self._bad = metrics.counter(
            "spaces_gateway_bad_events_total", "Events dropped because they are not what they say."
        )
        self.events: Channels[RequestEvent] = Channels(bus, self._event_route)
        self.ends: Channels[RequestFinished] = Channels(bus, self._end_route)
        self.spaces: Channels[SpaceEvent] = Channels(bus, _space_route, SPACE_LINGER_S)

    def _event_route(self, subject: str, tell: Callable[[RequestEvent], None]) -> Route:
        request_id = subject.rpartition(".")[2]

        def receive(delivery: Delivery) -> None:
            event = self.read(delivery.body)
            if event is not None:
                self._waiters.heard(request_id)
                tell(event)

        return listen(subject, receive)

    def _end_route(self, subject: str, tell: Callable[[RequestFinished], None]) -> Route:
        def receive(delivery: Delivery) -> None:
            event = RequestFinished.model_validate_json(delivery.body)
            tell(event)
            self._waiters.finished(event)

        return listen(subject, receive)

    def read(self, body: bytes) -> RequestEvent | None:
        """A stored or live event; None when it is broken, which only a direct worker's own can be."""
        try:
            event = RequestEvent.model_validate_json(body)
        except ValidationError:
            event = None
        if event is None or not readable(event):
            self._bad.inc()
            return None
        return event

    # Part

    async def start(self) -> None:
        """Subscriptions come with listeners."""

    async def drain(self) -> None:
        """Watchers are sent away by their sockets."""

    async def stop(self) -> None:
        """Ends all subscriptions."""
        for channels in (self.events, self.ends, self.spaces):
            await channels.stop()

    def healthy(self) -> bool:
        return True


def _space_route(subject: str, tell: Callable[[SpaceEvent], None]) -> Route:
    def receive(delivery: Delivery) -> None:
        tell(SpaceEvent.model_validate_json(delivery.body))

    return listen(subject, receive)
