"""The handler processes of an agent, and the jobs that wait for a free one."""

import asyncio
import time
from collections import deque
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import structlog

from spaces_contracts.problems import Code
from spaces_worker_agent.attempts import Ending, Job, Key
from spaces_worker_agent.slot import Broken, HandlerCommand, Slot

log = structlog.get_logger()


class HandlerBroken(Exception):
    """No handler process came up."""

    def __init__(self, broken: Broken) -> None:
        super().__init__(broken.message)
        self.broken = broken


class PoolUser(Protocol):
    """Who hears what the handlers do."""

    def started(self, job: Job) -> None: ...
    def chunk(self, key: Key, data: str) -> None: ...
    async def room(self, key: Key) -> None: ...
    def progress(self, key: Key, percent: float | None, message: str | None) -> None: ...
    async def fetch(self, job: Job, index: int) -> Path: ...
    def ended(self, job: Job, ending: Ending) -> None: ...


class Pool:
    """Gives jobs to free handlers in the order they came.

    Several spaces share the handlers, so there may be more jobs than slots: those wait here.
    """

    def __init__(self, slots: int, command: HandlerCommand, user: PoolUser, root: Path) -> None:
        self._user = user
        self._slots = [Slot(number, command, self, root) for number in range(1, slots + 1)]
        self._free: deque[Slot] = deque()
        self._waiting: deque[tuple[Job, float]] = deque()  # with the time it came
        self._tasks: list[asyncio.Task[None]] = []
        self._up: asyncio.Future[None] | None = None
        self._loaded: set[Slot] = set()

    async def start(self) -> None:
        """Starts all handlers and returns when every one is loaded. Raises HandlerBroken."""
        self._up = asyncio.get_running_loop().create_future()
        self._tasks = [
            asyncio.create_task(slot.run(), name=f"slot-{slot.number}") for slot in self._slots
        ]
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
        for entry in self._waiting:
            job = entry[0]
            if job.key == key:
                self._waiting.remove(entry)
                self._user.ended(job, Ending(code=Code.CANCELLED))
                return
        for slot in self._slots:
            if slot.job is not None and slot.job.key == key:
                slot.stop()
                return

    async def close(self) -> None:
        """Ends the handlers; none may be busy."""
        for slot in self._slots:
            slot.close()
        await asyncio.gather(*self._tasks)

    async def kill(self) -> None:
        """Ends the handlers now, busy or not."""
        for slot in self._slots:
            slot.kill()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def pids(self) -> list[int]:
        """The processes that live now."""
        return [slot.pid for slot in self._slots if slot.pid is not None]

    def work_dir(self, job: Job) -> Path:
        """Where the files of a job lie while it runs."""
        return self._slots[0].work_dir(job)

    # What slots tell

    def slot_ready(self, slot: Slot) -> None:
        self._loaded.add(slot)
        self._free.append(slot)
        if self._up is not None and not self._up.done() and len(self._loaded) == len(self._slots):
            self._up.set_result(None)
        self._dispatch()

    def slot_broken(self, slot: Slot, broken: Broken) -> None:
        self._loaded.discard(slot)
        log.error("handler_broken", slot=slot.number, stage=broken.stage, error=broken.message)
        if self._up is not None and not self._up.done():
            self._up.set_exception(HandlerBroken(broken))
        elif not self._loaded:
            self._fail_waiting(broken)

    def chunk(self, key: Key, data: str) -> None:
        self._user.chunk(key, data)

    async def room(self, key: Key) -> None:
        await self._user.room(key)

    def progress(self, key: Key, percent: float | None, message: str | None) -> None:
        self._user.progress(key, percent, message)

    async def fetch(self, job: Job, index: int) -> Path:
        return await self._user.fetch(job, index)

    def ended(self, slot: Slot, job: Job, ending: Ending) -> None:
        if slot.pid is not None:
            self._free.append(slot)
        else:
            self._loaded.discard(slot)
        self._user.ended(job, ending)
        self._dispatch()

    def slot_gone(self, slot: Slot) -> None:
        self._loaded.discard(slot)
        if slot in self._free:
            self._free.remove(slot)

    def _dispatch(self) -> None:
        while self._free and self._waiting:
            job, came_at = self._waiting.popleft()
            remaining_s = max(0.0, job.remaining_s - (time.monotonic() - came_at))
            slot = self._free.popleft()
            self._user.started(job)
            slot.give(replace(job, remaining_s=remaining_s))

    def _fail_waiting(self, broken: Broken) -> None:
        """Every handler is down and cannot load: better a clear failure than a silent wait."""
        waiting, self._waiting = self._waiting, deque()
        for job, _ in waiting:
            message = f"The handler could not be started again: {broken.message}"
            self._user.ended(job, Ending(code=Code.HANDLER_CRASHED, message=message))
