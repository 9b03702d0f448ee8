"""Natural batching: while one flush runs, what arrives meanwhile collects and goes in the next. No timers.

Idle latency stays that of one flush; under load flushes are shared. Pure of any database or bus.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

import structlog

from spaces_chassis.errors import ProblemError, UnavailableError
from spaces_chassis.metrics import Metrics
from spaces_contracts.problems import Code

T = TypeVar("T")
R = TypeVar("R")
# An item, and who is told its verdict.
Entry = tuple[T, Callable[[R | BaseException], None]]
log = structlog.get_logger(__name__)

MAX_ITEMS = 256
MAX_BYTES = 4 * 1024 * 1024
BATCH_SIZE_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128, 256)


def is_outage(error: BaseException) -> bool:
    """Whether an error says nothing about the items: then trying them one by one helps nobody."""
    return isinstance(error, UnavailableError | OSError | TimeoutError | asyncio.CancelledError)


class BatcherMetrics:
    """Shared by the batchers of a process."""

    def __init__(self, metrics: Metrics) -> None:
        self.items = metrics.histogram(
            "spaces_batch_items",
            "Items in one flush",
            ["batcher"],
            buckets=BATCH_SIZE_BUCKETS,
        )
        self.seconds = metrics.histogram(
            "spaces_batch_flush_seconds", "Time of one flush", ["batcher"]
        )
        self.bisects = metrics.counter(
            "spaces_batch_bisects_total", "Batches that failed and were split", ["batcher"]
        )


class Batcher(Generic[T, R]):
    """Collects items and flushes them together; each item gets exactly one result or error. A Part."""

    def __init__(
        self,
        flush: Callable[[list[T]], Awaitable[Sequence[R]]],
        *,
        max_items: int = MAX_ITEMS,
        max_bytes: int = MAX_BYTES,
        size_of: Callable[[T], int] | None = None,
        name: str = "batcher",
        metrics: BatcherMetrics | None = None,
    ) -> None:
        """`flush(items)` gives one result an item, in their order, or raises and has then done nothing.

        A batch holds at most `max_items` and `max_bytes` (by `size_of`), but at least one item.
        """
        self.name = name
        self._flush = flush
        self._max_items = max_items
        self._max_bytes = max_bytes
        self._size_of = size_of
        self._waiting: deque[Entry[T, R]] = deque()
        self._task: asyncio.Task[None] | None = None
        self._wake: asyncio.Future[None] | None = None
        self._idle: list[tuple[int, asyncio.Future[None]]] = []
        self._added = 0
        self._settled = 0
        self._closed = False
        self._metrics = metrics
        self._items = metrics.items.labels(name) if metrics else None
        self._seconds = metrics.seconds.labels(name) if metrics else None
        self._bisects = metrics.bisects.labels(name) if metrics else None

    async def start(self) -> None:
        """Starts flushing; items may have been added before."""
        self._task = asyncio.get_running_loop().create_task(
            self._run(), name=f"batcher {self.name}"
        )

    async def drain(self) -> None:
        """Returns when all that was added before is settled. Later items are still taken."""
        if self._settled < self._added and self._task is not None:
            done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._idle.append((self._added, done))
            await done

    async def stop(self) -> None:
        """Flushes what is left, then refuses."""
        self._closed = True
        try:
            await self.drain()
        finally:
            if self._task is not None:
                self._task.cancel()
                await asyncio.wait([self._task])
            self._refuse_rest()

    def healthy(self) -> bool:
        """Whether items are flushed."""
        return self._task is not None and not self._task.done()

    @property
    def waiting(self) -> int:
        """Items that are in no flush yet."""
        return len(self._waiting)

    def add(self, item: T) -> "asyncio.Future[R]":
        """The item's result. Cancelling the future takes nothing back."""
        future: asyncio.Future[R] = asyncio.get_running_loop().create_future()

        def settle(verdict: R | BaseException) -> None:
            if future.done():
                return  # cancelled by who waited
            if isinstance(verdict, BaseException):
                future.set_exception(verdict)
            else:
                future.set_result(verdict)

        self.add_with(item, settle)
        return future

    def add_with(self, item: T, callback: Callable[[R | BaseException], None]) -> None:
        """Calls back once with the item's result or error; no task and no future is made."""
        if self._closed:
            callback(ProblemError.of(Code.GOING_AWAY, "this process is stopping"))
            return
        self._added += 1
        self._waiting.append((item, callback))
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            if not self._waiting:
                self._wake = loop.create_future()
                await self._wake
                self._wake = None
            await self._settle_all(self._take())

    def _take(self) -> list[Entry[T, R]]:
        batch: list[Entry[T, R]] = []
        size = 0
        while self._waiting and len(batch) < self._max_items:
            if self._size_of is not None:
                size += self._size_of(self._waiting[0][0])
                if batch and size > self._max_bytes:
                    break
            batch.append(self._waiting.popleft())
        return batch

    async def _settle_all(self, batch: list[Entry[T, R]]) -> None:
        """Flushes; a batch that fails is split, front half first, until the bad items stand alone."""
        todo = [batch]
        outage: BaseException | None = None
        while todo:
            part = todo.pop()
            try:
                verdicts = outage if outage is not None else await self._try(part)
            except asyncio.CancelledError:
                lost = UnavailableError("this process stopped; whether it was done is unknown")
                for rest in (part, *todo):
                    self._settle(rest, [lost] * len(rest))
                raise
            if not isinstance(verdicts, BaseException):
                self._settle(part, verdicts)
            elif len(part) == 1 or is_outage(verdicts):
                # In an outage the rest would only wait for the same error.
                outage = verdicts if is_outage(verdicts) else None
                self._settle(part, [verdicts] * len(part))
            else:
                if self._bisects is not None:
                    self._bisects.inc()
                log.warning("batch_split", batcher=self.name, items=len(part), error=repr(verdicts))
                middle = len(part) // 2
                todo += [part[middle:], part[:middle]]

    async def _try(self, part: list[Entry[T, R]]) -> Sequence[R] | BaseException:
        if self._items is not None and self._seconds is not None:
            self._items.observe(len(part))
            with self._seconds.time():
                return await self._call([item for item, _ in part])
        return await self._call([item for item, _ in part])

    async def _call(self, items: list[T]) -> Sequence[R] | BaseException:
        try:
            results = await self._flush(items)
        except asyncio.CancelledError:
            if self._task is not None and self._task.cancelling():
                raise
            return UnavailableError(f"{self.name}: the flush was cancelled")
        except Exception as error:  # it is the items' verdict, and reaches whoever added them
            return error
        if len(results) != len(items):
            # Splitting would run the flush again, which has happened.
            return UnavailableError(f"{self.name}: {len(results)} results for {len(items)} items")
        return results

    def _settle(
        self,
        part: list[Entry[T, R]],
        verdicts: Sequence[R | BaseException],
    ) -> None:
        for (_, callback), verdict in zip(part, verdicts, strict=True):
            self._settled += 1
            try:
                callback(verdict)
            except Exception:  # one waiter's error must not cost another its verdict
                log.exception("batch_callback_failed", batcher=self.name)
        while self._idle and self._idle[0][0] <= self._settled:
            _, done = self._idle.pop(0)
            if not done.done():
                done.set_result(None)

    def _refuse_rest(self) -> None:
        rest = list(self._waiting)
        self._waiting.clear()
        self._settle(
            rest, [ProblemError.of(Code.GOING_AWAY, "this process is stopping")] * len(rest)
        )
