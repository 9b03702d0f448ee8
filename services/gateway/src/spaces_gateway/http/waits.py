"""Calls that wait for a request's end (`?wait=30`): a future each, released early when the gateway drains."""

import asyncio
from collections.abc import Callable
from typing import Protocol

from spaces_chassis.errors import ProblemError
from spaces_chassis.metrics import Metrics
from spaces_contracts.requests import RequestFinished, RequestView
from spaces_gateway.waiters import Waiters, Watch


class Ends(Protocol):
    """Subscriptions to ends; whatever comes also reaches the waiters."""

    async def add(self, subject: str, listener: Callable[[RequestFinished], None]) -> None: ...

    def remove(self, subject: str, listener: Callable[[RequestFinished], None]) -> None: ...


class Wait:
    """One call that waits (a Watcher of Waiters). `stop()` in a finally."""

    __slots__ = ("_future", "_subject", "_waits", "_watch")

    def __init__(self, waits: "Waits", request_id: str) -> None:
        self._waits = waits
        self._future: asyncio.Future[RequestFinished | None] = (
            asyncio.get_running_loop().create_future()
        )
        self._watch: Watch
        self._subject: str | None = None
        self.follow(request_id)
        waits.pending.add(self._future)

    def follow(self, request_id: str) -> None:
        """Watches this request."""
        self._watch = self._waits.waiters.watch(request_id, self)

    async def follow_known(self, space_id: str, request_id: str) -> None:
        """Watches a request that is older than the watch, and was perhaps submitted at another gateway."""
        self._watch.stop()
        self.follow(request_id)
        subject = f"fin.{space_id}.{request_id}"
        try:
            # Subscribed first and read then: an end that comes in between is heard.
            await self._waits.ends.add(subject, _ignore)
            self._subject = subject
            await self._waits.waiters.look_up([request_id])
        except ProblemError:
            return  # the look-up of quiet requests tries again

    async def result(self, seconds: float) -> RequestFinished | None:
        """The end, or None when it did not come in time."""
        if self._waits.draining:
            seconds = 0
        timer = asyncio.get_running_loop().call_later(seconds, _give_up, self._future)
        try:
            return await self._future
        finally:
            timer.cancel()

    def stop(self) -> None:
        """Forgets the watch; once."""
        self._watch.stop()
        del self._watch  # it holds this, too, and only the garbage collector would free them
        self._waits.pending.discard(self._future)
        if self._subject is not None:
            self._waits.ends.remove(self._subject, _ignore)

    # Watcher

    def finished(self, event: RequestFinished) -> None:
        """The end."""
        if not self._future.done():
            self._future.set_result(event)

    def seen(self, view: RequestView) -> None:
        """It has not ended."""


class Waits:
    """All calls that wait. A Part: its drain ends them, so that the server can stop."""

    name = "waits"

    def __init__(self, waiters: Waiters, ends: Ends, metrics: Metrics) -> None:
        self.waiters = waiters
        self.ends = ends
        self.pending: set[asyncio.Future[RequestFinished | None]] = set()
        self.draining = False
        metrics.gauge(
            "spaces_waiting_calls", "HTTP calls that wait for a request's end"
        ).set_function(lambda: len(self.pending))
        metrics.gauge(
            "spaces_watched_requests", "Requests that somebody here waits for"
        ).set_function(lambda: len(self.waiters))

    def begin(self, request_id: str) -> Wait:
        """Starts waiting, before the request is submitted."""
        return Wait(self, request_id)

    async def start(self) -> None:
        """Nothing to do."""

    async def drain(self) -> None:
        """Everybody who waits is answered with what is known."""
        self.draining = True
        for future in self.pending:
            _give_up(future)

    async def stop(self) -> None:
        """Nothing to do."""

    def healthy(self) -> bool:
        """False once the process drains: it is then not ready for new clients."""
        return not self.draining


def _give_up(future: "asyncio.Future[RequestFinished | None]") -> None:
    if not future.done():
        future.set_result(None)


def _ignore(_event: RequestFinished) -> None:
    """The watch hears it."""
