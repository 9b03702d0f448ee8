"""From a packet to its handler: deadlines, order, bounds, errors."""

import asyncio
from typing import TYPE_CHECKING

import structlog

from spaces_chassis.bus.meters import BusMeters
from spaces_chassis.bus.routes import Delivery, Route, problem_for
from spaces_chassis.bus.transport import Packet, Receive
from spaces_chassis.errors import ProblemError, UnavailableError

if TYPE_CHECKING:
    from spaces_chassis.bus.bus import Bus

log = structlog.get_logger(__name__)


class Dispatcher:
    """Makes the function that a subscription calls for each packet."""

    def __init__(self, bus: "Bus", meters: BusMeters) -> None:
        self._bus = bus
        self._meters = meters
        self._tasks: set[asyncio.Task[None]] = set()

    def receiver(self, route: Route) -> Receive:
        """What to call for each packet of that route."""
        return self._async_receiver(route) if route.is_async else self._sync_receiver(route)

    async def idle(self) -> None:
        """Returns when no handler runs."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def cancel(self) -> None:
        """Ends the handlers that still run."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def _sync_receiver(self, route: Route) -> Receive:
        received = self._meters.received.labels(route.name)

        def receive(packet: Packet) -> None:
            received.inc()
            delivery = Delivery(packet, route.template, self._bus)
            if delivery.deadline_ms is not None and self._drop(route, delivery):
                return
            try:
                route.handler(delivery)
            except Exception as error:  # one bad message must not end the subscription
                self._failed(route, delivery, error)

        return receive

    def _async_receiver(self, route: Route) -> Receive:
        received = self._meters.received.labels(route.name)
        free = asyncio.Semaphore(route.concurrency)

        async def handle(delivery: Delivery) -> None:
            try:
                result = route.handler(delivery)
                if result is not None:
                    await result
            except Exception as error:  # one bad message must not end the subscription
                self._failed(route, delivery, error)

        def spawn(delivery: Delivery) -> None:
            task = asyncio.get_running_loop().create_task(handle(delivery))
            self._tasks.add(task)
            task.add_done_callback(done)

        def done(task: "asyncio.Task[None]") -> None:
            self._tasks.discard(task)
            free.release()

        async def receive(packet: Packet) -> None:
            # Waiting here holds back the whole subscription: that is the bound.
            await free.acquire()
            received.inc()
            delivery = Delivery(packet, route.template, self._bus)
            # After the wait, because waiting is what makes a message expire.
            if delivery.deadline_ms is not None and self._drop(route, delivery):
                free.release()
                return
            spawn(delivery)

        return receive

    def _drop(self, route: Route, delivery: Delivery) -> bool:
        if not delivery.expired:
            return False
        self._meters.expired.labels(route.name).inc()
        # Many of these without load mean that two machines' clocks differ.
        log.warning(
            "message_expired",
            route=route.name,
            late_ms=self._bus.unix_ms() - (delivery.deadline_ms or 0),
        )
        return True

    def _failed(self, route: Route, delivery: Delivery, error: Exception) -> None:
        self._meters.failures.labels(route.name).inc()
        problem = problem_for(error)
        if isinstance(error, ProblemError):
            log.warning(
                "message_refused", route=route.name, code=problem.code, reason=problem.message
            )
        else:
            log.error("handler_failed", route=route.name, subject=delivery.subject, exc_info=error)
        try:
            delivery.reply_now(problem)
        except UnavailableError as unavailable:
            log.warning("reply_lost", route=route.name, reason=unavailable.problem.message)
