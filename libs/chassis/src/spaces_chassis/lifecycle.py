"""A process is a list of parts: started in order, drained and stopped in reverse, dead when one part is."""

import asyncio
import contextlib
import gc
import signal
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Protocol, runtime_checkable

import structlog

from spaces_chassis.clock import Clock, SystemClock
from spaces_chassis.metrics import Metrics

log = structlog.get_logger(__name__)


class Part(Protocol):
    """A long-lived piece of a process. Parts are listed with what others need first."""

    name: str

    async def start(self) -> None:
        """Returns when the part works. What it raises ends the process."""
        ...

    async def drain(self) -> None:
        """Stops taking new work and returns when what is in flight is finished."""
        ...

    async def stop(self) -> None:
        """Ends at once. Called for each part whose start was called, even if that failed."""
        ...

    def healthy(self) -> bool:
        """Whether the part works now; feeds readiness."""
        ...


@runtime_checkable
class Mortal(Protocol):
    """A part that can become useless for good, such as a connection that will not come back."""

    async def died(self) -> BaseException:
        """Returns the reason when that happens, and not before."""
        ...


class Loop:
    """Calls `step` again and again, `every_s` apart; a failure is logged and counted, and the loop goes on."""

    def __init__(
        self,
        name: str,
        step: Callable[[], Awaitable[object]],
        every_s: float,
        clock: Clock | None = None,
        metrics: "LoopMetrics | None" = None,
    ) -> None:
        self.name = name
        self._step = step
        self._every_s = every_s
        self._clock = clock or SystemClock()
        self._failures = metrics.failures.labels(name) if metrics else None
        self._seconds = metrics.seconds.labels(name) if metrics else None
        self._task: asyncio.Task[None] | None = None
        self._sleeper: asyncio.Future[None] | None = None
        self._woken = False
        self._draining = False

    async def start(self) -> None:
        """The first step runs at once."""
        self._task = asyncio.get_running_loop().create_task(self._run(), name=f"loop {self.name}")

    async def drain(self) -> None:
        """Lets the step that runs finish, and begins no other."""
        self._draining = True
        self.wake()
        if self._task is not None:
            await asyncio.wait([self._task])

    async def stop(self) -> None:
        """Cancels the step that runs."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    def healthy(self) -> bool:
        """Whether it still loops."""
        return self._task is not None and not self._task.done()

    def wake(self) -> None:
        """Makes the next step run now instead of later."""
        self._woken = True
        if self._sleeper is not None:
            self._sleeper.cancel()

    async def _run(self) -> None:
        while not self._draining:
            self._woken = False
            await self._step_once()
            if not self._woken:
                await self._rest()

    async def _step_once(self) -> None:
        try:
            if self._seconds is not None:
                with self._seconds.time():
                    await self._step()
            else:
                await self._step()
        except Exception:  # the next step may succeed; a loop that died would fail silently
            log.exception("loop_step_failed", loop=self.name)
            if self._failures is not None:
                self._failures.inc()

    async def _rest(self) -> None:
        self._sleeper = asyncio.ensure_future(self._clock.sleep(self._every_s))
        try:
            await asyncio.wait([self._sleeper])
        finally:
            self._sleeper.cancel()
            self._sleeper = None


class LoopMetrics:
    """Shared by the loops of a process."""

    def __init__(self, metrics: Metrics) -> None:
        self.failures = metrics.counter("spaces_loop_failures_total", "Steps that failed", ["loop"])
        self.seconds = metrics.histogram("spaces_loop_step_seconds", "Time of one step", ["loop"])


async def run(
    parts: Sequence[Part], *, drain_s: float = 20.0, ready: Callable[[], None] | None = None
) -> int:
    """Runs a process until SIGTERM or SIGINT, or until a part dies. Returns its exit status.

    Starts the parts in order and calls `ready`. The first signal drains them in reverse, within `drain_s`
    seconds together, and stops them in reverse; a second signal skips the rest of the drain. The status is 0
    after a signal, and 1 when a part failed to start or died; then nothing is drained.
    """
    return await _Process(parts, drain_s).run(ready)


class _Process:
    def __init__(self, parts: Sequence[Part], drain_s: float) -> None:
        self._parts = list(parts)
        self._drain_s = drain_s
        self._touched: list[Part] = []
        self._asked = asyncio.Event()
        self._urged = asyncio.Event()

    async def run(self, ready: Callable[[], None] | None) -> int:
        with _signals(self._on_signal):
            try:
                if not await self._unless(self._asked, self._start_all()):
                    return 0
                tune_garbage_collection()
                log.info("started", parts=[part.name for part in self._parts])
                if ready is not None:
                    ready()
                if not await self._until_asked():
                    return 1
                await self._unless(self._urged, self._drain_all())
                return 0
            except (
                Exception
            ):  # a part that cannot start ends the process, which says so and undoes the rest
                log.exception(
                    "start_failed", part=self._touched[-1].name if self._touched else None
                )
                return 1
            finally:
                await self._stop_all()

    def _on_signal(self) -> None:
        if self._asked.is_set():
            self._urged.set()
        log.info("stop_asked", again=self._urged.is_set())
        self._asked.set()

    async def _start_all(self) -> None:
        for part in self._parts:
            self._touched.append(part)
            await part.start()
            log.debug("part_started", part=part.name)

    async def _until_asked(self) -> bool:
        """True after a signal, False after a part died."""
        asked = asyncio.ensure_future(self._asked.wait())
        deaths = {
            asyncio.ensure_future(part.died()): part.name
            for part in self._parts
            if isinstance(part, Mortal)
        }
        try:
            await asyncio.wait([asked, *deaths], return_when=asyncio.FIRST_COMPLETED)
            for death, name in deaths.items():
                if death.done():
                    log.error(
                        "part_died", part=name, reason=str(death.exception() or death.result())
                    )
                    return False
            return True
        finally:
            for waiter in (asked, *deaths):
                waiter.cancel()

    async def _drain_all(self) -> None:
        try:
            async with asyncio.timeout(self._drain_s):
                for part in reversed(self._touched):
                    try:
                        await part.drain()
                    except Exception:  # the other parts still have work in flight
                        log.exception("drain_failed", part=part.name)
        except TimeoutError:
            log.warning("drain_deadline_passed", drain_s=self._drain_s)

    async def _stop_all(self) -> None:
        for part in reversed(self._touched):
            try:
                async with asyncio.timeout(self._drain_s):
                    await part.stop()
            except Exception:  # the other parts must be stopped all the same
                log.exception("stop_failed", part=part.name)
        log.info("stopped")

    async def _unless(self, event: asyncio.Event, work: Awaitable[None]) -> bool:
        """Does the work; False when the event came first and the work was cancelled."""
        task = asyncio.ensure_future(work)
        interrupted = asyncio.ensure_future(event.wait())
        await asyncio.wait([task, interrupted], return_when=asyncio.FIRST_COMPLETED)
        interrupted.cancel()
        if not task.done():
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            return False
        await task
        return True


def tune_garbage_collection() -> None:
    """Fewer and cheaper collections.

    What start-up made (modules, routes, models) lives as long as the process: frozen, a full collection no
    longer walks it. Messages die by reference count, so young collections find next to nothing; at the
    default threshold of 700 allocations they run several times a batch, and show in the p99.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


@contextlib.contextmanager
def _signals(handler: Callable[[], None]) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, handler)
    try:
        yield
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
