"""Ties the session to this host: carries out what it wants, tells it what handlers do."""

import asyncio
import contextlib
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

import structlog

from spaces_contracts.files import FileRef
from spaces_contracts.problems import Code, Problem
from spaces_worker_agent.attempts import (
    Effects,
    Ending,
    GivenFile,
    Job,
    Keep,
    Key,
    Result,
    Settle,
    Start,
    Stop,
)
from spaces_worker_agent.finished import FinishedMemory
from spaces_worker_agent.pool import Pool
from spaces_worker_agent.sdk import FileUnavailable
from spaces_worker_agent.session import Session
from spaces_worker_agent.slot import HandlerCommand
from spaces_worker_agent.spool import Spool
from spaces_worker_agent.watching import Watcher
from spaces_worker_agent.wire import fits

log = structlog.get_logger()

# The server ends what is late and says so; this host's own deadline is only for when it cannot be heard.
# It gives everybody ten seconds after an outage before it ends anything, and looks once a second.
DEADLINE_SLACK_S = 12.0


class Carrier(Protocol):
    """Moves files; see `files.Transfers`."""

    async def fetch(self, file: FileRef, directory: Path) -> Path: ...
    async def upload(self, file: GivenFile, upload_url: str | None) -> FileRef: ...
    async def close(self) -> None: ...


class Engine:
    """One agent's work: session, spool, handlers and files."""

    def __init__(
        self,
        spool: Spool,
        command: HandlerCommand,
        *,
        slots: int,
        transfers: Carrier,
        work_root: Path,
        watcher: Watcher,
    ) -> None:
        self.spool = spool
        self.wake = asyncio.Event()  # there may be something to send
        self.settled = asyncio.Event()  # set whenever an attempt ends
        self.draining = False
        self.redact: Callable[[str], str] = lambda text: text
        self._transfers = transfers
        self._watcher = watcher
        self._finished = FinishedMemory()
        self.session = Session(self._finished)
        self.pool = Pool(slots, command, self, work_root)
        self._jobs: dict[Key, Job] = {}
        self._started_at: dict[Key, float] = {}
        self._deadlines: dict[Key, asyncio.TimerHandle] = {}
        self._rooms: dict[Key, asyncio.Event] = {}
        self._endings: set[asyncio.Task[None]] = set()
        self._killed = False

    async def start(self) -> None:
        """Reads the spool and loads the handlers. Raises SpoolUnusable or HandlerBroken."""
        for result in self.spool.load(self._finished, time.monotonic()):
            self.session.spooled(result)
        await self.pool.start()

    async def close(self) -> None:
        """Ends handlers that have nothing to do."""
        await self._end_tasks()
        await self.pool.close()
        self.spool.close()
        await self._transfers.close()

    async def kill(self) -> None:
        """Ends handlers now; what they did is lost unless it is in the spool."""
        self._killed = True
        for room in self._rooms.values():
            room.set()
        await self._end_tasks()
        await self.pool.kill()
        self.spool.close()
        await self._transfers.close()

    # From the link

    def job(self, job: Job) -> None:
        """A job arrived."""
        self.session.refusing = self._refusal()
        self._watcher.queue(job.space, job.queue_size)
        self._apply(self.session.job(job, time.monotonic()))

    def apply(self, effects: Effects) -> None:
        """Carries out what the session wants."""
        self._apply(effects)

    def drain(self) -> None:
        """From now on nothing new is taken."""
        self.draining = True

    def keep_house(self) -> None:
        """Called now and then: a full disk may have room again, the journal may have grown."""
        self.spool.retry(self._finished, time.monotonic())

    # What handlers tell (PoolUser)

    def started(self, job: Job) -> None:
        self._started_at[job.key] = time.monotonic()
        self._watcher.started(job)

    def chunk(self, key: Key, data: str) -> None:
        self.session.chunk(key, data)
        self._watcher.chunk(key)
        self.wake.set()

    async def room(self, key: Key) -> None:
        while not self.session.has_room(key) and not self._killed:
            room = self._rooms.setdefault(key, asyncio.Event())
            room.clear()
            await room.wait()

    def make_room(self, key: Key) -> None:
        """Chunks were acknowledged: the handler may go on."""
        room = self._rooms.get(key)
        if room is not None:
            room.set()

    def progress(self, key: Key, percent: float | None, message: str | None) -> None:
        self.session.progress(key, percent, message)
        self._watcher.progress(key, percent, message)
        self.wake.set()

    async def fetch(self, job: Job, index: int) -> Path:
        return await self._transfers.fetch(job.files[index], self.pool.work_dir(job) / "input")

    def ended(self, job: Job, ending: Ending) -> None:
        stopping = self.session.stop_reason(job.key) is not None
        if (ending.files and not stopping) or self.pool.work_dir(job).exists():
            task = asyncio.create_task(self._end_with_files(job, ending, stopping))
            self._endings.add(task)
            task.add_done_callback(self._endings.discard)
        else:
            self._finish(job, ending, ())

    # Inside

    def _refusal(self) -> Problem | None:
        if self.draining:
            return Problem(code=Code.GOING_AWAY, message="The worker is stopping.")
        if self.spool.problem is not None:
            return Problem(
                code=Code.UNAVAILABLE, message="The worker cannot write to its spool directory."
            )
        return None

    def _apply(self, effects: Effects) -> None:
        for effect in effects:
            if isinstance(effect, Start):
                self._start(effect.job)
            elif isinstance(effect, Stop):
                self._watcher.stopping(effect.key, effect.reason)
                self._drop_deadline(effect.key)
                self.pool.stop(effect.key)
                self._open_room(effect.key)
            elif isinstance(effect, Keep):
                self.spool.keep(effect.result)
                self._watcher.ended(effect.result)
            elif isinstance(effect, Settle):
                self.settled.set()
        self.spool.settle(self._finished.fresh)
        self.wake.set()

    def _start(self, job: Job) -> None:
        self._jobs[job.key] = job
        delay = max(0.0, job.remaining_s) + DEADLINE_SLACK_S
        loop = asyncio.get_running_loop()
        self._deadlines[job.key] = loop.call_later(delay, self._expire, job.key)
        self.pool.give(job)

    def _expire(self, key: Key) -> None:
        message = "Time was up before the handler was done."
        self._apply(self.session.expire(key, Problem(code=Code.TIMEOUT, message=message)))

    async def _end_with_files(self, job: Job, ending: Ending, stopping: bool) -> None:
        given: list[FileRef] = []
        try:
            if not stopping:
                for file in ending.files:
                    given.append(await self._transfers.upload(file, job.upload_url))
        except (FileUnavailable, OSError, ValueError) as error:
            ending = Ending(code=Code.HANDLER_FAILED, message=f"An output file was lost: {error}")
        finally:
            with contextlib.suppress(OSError):
                await asyncio.to_thread(shutil.rmtree, self.pool.work_dir(job))
        self._finish(job, ending, tuple(given))

    def _finish(self, job: Job, ending: Ending, files: tuple[FileRef, ...]) -> None:
        self._jobs.pop(job.key, None)
        self._drop_deadline(job.key)
        self._open_room(job.key)
        started_at = self._started_at.pop(job.key, None)
        now = time.monotonic()
        result = Result(
            key=job.key,
            space_id=job.space_id,
            status="succeeded" if ending.code is None else "failed",
            timestamp=datetime.now(UTC),
            output_json=ending.output_json,
            output_files=files,
            processing_time_seconds=round(0.0 if started_at is None else now - started_at, 6),
        )
        if ending.code is None and not fits(result):
            text = f"The output and the list of its {len(files)} files do not fit into 1 MiB."
            ending = Ending(code=Code.OUTPUT_TOO_LARGE, message=text)
        if ending.code is not None:
            problem = Problem(code=ending.code, message=self.redact(ending.message))
            result = replace(
                result, status="failed", output_json=None, output_files=(), error=problem
            )
        self._apply(self.session.finished(result, now))
        self.settled.set()

    def _drop_deadline(self, key: Key) -> None:
        timer = self._deadlines.pop(key, None)
        if timer is not None:
            timer.cancel()

    def _open_room(self, key: Key) -> None:
        room = self._rooms.pop(key, None)
        if room is not None:
            room.set()

    async def _end_tasks(self) -> None:
        for timer in self._deadlines.values():
            timer.cancel()
        for task in self._endings:
            task.cancel()
        await asyncio.gather(*self._endings, return_exceptions=True)
