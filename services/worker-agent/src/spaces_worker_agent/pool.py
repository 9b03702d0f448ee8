"""The handler processes of an agent, and the jobs that wait for a free one."""

import asyncio
import contextlib
import time
from collections import deque
from pathlib import Path
from typing import Protocol

import structlog

from spaces_contracts.problems import Code
from spaces_worker_agent.attempts import Ending, Job, Key
from spaces_worker_agent.process import Broken, HandlerCommand, HandlerProcess

log = structlog.get_logger()

RESTART_FIRST_S = 0.1
RESTART_MAX_S = 30.0


class HandlerBroken(Exception):
    """No handler process came up."""

    def __init__(self, broken: Broken) -> None:
        super().__init__(broken.message)
        self.broken = broken


class PoolUser(Protocol):
    """Who hears what the handlers do."""

    def started(self, job: Job) -> None: ...
    def chunks(self, key: Key, data: list[str]) -> None: ...
    def progress(self, key: Key, percent: float | None, message: str | None) -> None: ...
    async def fetch(self, job: Job, index: int) -> Path: ...
    def ended(self, job: Job, ending: Ending) -> None: ...
    def turn_over(self) -> None: ...


class Pool:
    """Gives jobs to handler processes in the order they came.

    A blocking handler has a process for each slot, an async one shares `processes`. Several spaces share the slots, so
    there may be more jobs than slots: those wait here.
    """

    def __init__(self, slots: int, command: HandlerCommand, user: PoolUser, root: Path) -> None:
        self._slots = slots
        self._command = command
        self._user = user
        self._root = root
        self._capacity = 1  # jobs at a time in each process
        self._expected = 0  # processes; known when the first has found the handler
        self._alive: dict[HandlerProcess, None] = {}  # and those that are on their way out
        self._free: deque[HandlerProcess] = deque()  # and some that are not usable any more
        self._waiting: deque[tuple[Job, float]] = deque()  # with the time it came
        self._where: dict[Key, HandlerProcess] = {}
        self._told: dict[HandlerProcess, None] = {}  # and not handed over yet
        self._tasks: set[asyncio.Task[None]] = set()
        self._up: asyncio.Future[None] | None = None
        self._closing = asyncio.Event()

    async def start(self) -> None:
        """Starts all handlers and returns when every one is loaded. Raises HandlerBroken."""
        self._up = asyncio.get_running_loop().create_future()
        self._keep(1)
        try:
            await self._up
        except BaseException:
            await self.kill()
            raise

    def give(self, job: Job) -> None:
        """Runs a job as soon as a handler is free."""
        self._waiting.append((job, time.monotonic()))
        self._dispatch()

    def stop(self, key: Key) -> None:
        """Stops a job; `ended` is told when it has really stopped."""
        process = self._where.get(key)
        if process is not None:
            process.stop(key)
            self._told[process] = None
            return
        for entry in self._waiting:
            if entry[0].key == key:
                self._waiting.remove(entry)
                self._user.ended(entry[0], Ending(code=Code.CANCELLED))
                return

    def credit(self, key: Key, n: int) -> None:
        """All chunks of a job up to n are stored."""
        process = self._where.get(key)
        if process is not None:
            process.credit(key, n)
            self._told[process] = None

    def flush(self) -> None:
        """Hands over what the processes were told since the last time, a write for each."""
        for process in self._told:
            process.flush()
        self._told.clear()

    async def close(self) -> None:
        """Ends the handlers; none may be busy."""
        self._closing.set()
        for process in self._alive:
            process.close()
        await asyncio.gather(*self._tasks)

    async def kill(self) -> None:
        """Ends the handlers now, busy or not."""
        self._closing.set()
        for process in self._alive:
            process.kill()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def pids(self) -> list[int]:
        """The processes that live now."""
        return [process.pid for process in self._alive if process.pid is not None]

    def work_dir(self, job: Job) -> Path:
        """Where the files of a job lie while it runs."""
        return self._root / f"{job.key.request_id}-{job.key.attempt}"

    # What processes tell

    def found(self, process: HandlerProcess, concurrent: bool) -> None:
        if self._expected:
            return
        self._expected = min(self._slots, self._command.processes) if concurrent else self._slots
        self._capacity = -(-self._slots // self._expected)
        for place in range(2, self._expected + 1):
            self._keep(place)

    def ready(self, process: HandlerProcess) -> None:
        self._offer(process)
        up, usable = self._up, sum(process.usable for process in self._alive)
        if up is not None and not up.done() and usable == self._expected:
            up.set_result(None)
        self._dispatch()

    def chunks(self, key: Key, data: list[str]) -> None:
        self._user.chunks(key, data)

    def progress(self, key: Key, percent: float | None, message: str | None) -> None:
        self._user.progress(key, percent, message)

    async def fetch(self, job: Job, index: int) -> Path:
        return await self._user.fetch(job, index)

    def ended(self, process: HandlerProcess, job: Job, ending: Ending) -> None:
        del self._where[job.key]
        self._offer(process)
        self._user.ended(job, ending)
        if self._waiting:
            self._dispatch()

    def heard(self) -> None:
        self._user.turn_over()

    # Inside

    def _offer(self, process: HandlerProcess) -> None:
        if process.usable and not process.offered:
            process.offered = True
            self._free.append(process)

    def _dispatch(self) -> None:
        while self._waiting and self._free and len(self._where) < self._slots:
            process = self._free.popleft()
            process.offered = False
            if not process.usable or process.load >= self._capacity:
                continue
            job, came_at = self._waiting.popleft()
            self._where[job.key] = process
            self._user.started(job)
            self._told[process] = None
            process.give(job, max(0.0, job.remaining_s - (time.monotonic() - came_at)))
            if process.load < self._capacity:
                self._offer(process)

    def _keep(self, place: int) -> None:
        task = asyncio.create_task(self._keep_alive(place), name=f"handler-{place}")
        self._tasks.add(task)

    async def _keep_alive(self, place: int) -> None:
        """One process after another, until the pool is closed."""
        failures = 0
        while not self._closing.is_set():
            process = HandlerProcess(place, self._command, self, self._root)
            self._alive[process] = None
            life = asyncio.create_task(self._live(process), name=f"handler-{place}-life")
            self._tasks.add(life)
            life.add_done_callback(self._tasks.discard)
            if await self._condemned(process, life):
                continue
            if self._closing.is_set():
                return
            failures = 0 if process.served else failures
            delay = min(RESTART_MAX_S, RESTART_FIRST_S * 2**failures)
            failures = min(failures + 1, 16)
            log.warning("handler_restarts", process=place, after_s=delay)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(delay):
                    await self._closing.wait()

    async def _condemned(self, process: HandlerProcess, life: "asyncio.Task[None]") -> bool:
        """Waits for the end of a process; True when it is condemned first, and is replaced while it lives on."""
        condemned = asyncio.create_task(process.condemned.wait())
        try:
            await asyncio.wait([life, condemned], return_when=asyncio.FIRST_COMPLETED)
        finally:
            condemned.cancel()
        return not life.done()

    async def _live(self, process: HandlerProcess) -> None:
        try:
            broken = await process.live()
        except OSError as error:  # no memory or no room for another process
            broken = Broken("load", f"The handler process could not be started: {error}")
        del self._alive[process]
        if broken is None or self._closing.is_set():
            return
        log.error("handler_broken", process=process.place, stage=broken.stage, error=broken.message)
        if self._up is not None and not self._up.done():
            self._up.set_exception(HandlerBroken(broken))
        elif not any(other.load or other.usable for other in self._alive):
            self._fail_waiting(broken)

    def _fail_waiting(self, broken: Broken) -> None:
        """Every handler is down and cannot load: better a clear failure than a silent wait."""
        waiting, self._waiting = self._waiting, deque()
        for job, _ in waiting:
            message = f"The handler could not be started again: {broken.message}"
            self._user.ended(job, Ending(code=Code.HANDLER_CRASHED, message=message))
        self._user.turn_over()
