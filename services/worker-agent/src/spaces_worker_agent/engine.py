"""Ties the session to this host: carries out what it wants, tells it what handlers do."""

import asyncio
import contextlib
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
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
    Outgoing,
    Result,
    Settle,
    Start,
    Stop,
)
from spaces_worker_agent.finished import FinishedMemory
from spaces_worker_agent.pool import Pool
from spaces_worker_agent.process import HandlerCommand
from spaces_worker_agent.sdk import FileUnavailable
from spaces_worker_agent.session import Session
from spaces_worker_agent.spool import Spool
from spaces_worker_agent.watching import Watcher
from spaces_worker_agent.wire import fits

log = structlog.get_logger()

# The server ends what is late and says so; this host's own deadline is only for when it cannot be heard.
# It gives everybody ten seconds after an outage before it ends anything, and looks once a second.
DEADLINE_SLACK_S = 12.0


class Carrier(Protocol):
    """Moves files; see `files.Transfers`."""

    async def fetch(self, file: FileRef, directory: Path, attempt: int) -> Path: ...
    async def upload(self, file: GivenFile, upload_url: str | None, attempt: int) -> FileRef: ...
    async def close(self) -> None: ...


@dataclass(slots=True)
class Started:
    """A job that this host has."""

    job: Job
    ends_at: float
    started_at: float | None = None


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
        self.say: Callable[[], None] = lambda: None  # takes what is outgoing and sends it
        self.settled = asyncio.Event()  # set whenever an attempt ends
        self.draining = False
        self.redact: Callable[[str], str] = lambda text: text
        self._transfers = transfers
        self._watcher = watcher
        self._finished = FinishedMemory()
        self.session = Session(self._finished)
        self.pool = Pool(slots, command, self, work_root)
        self._jobs: dict[Key, Started] = {}
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

    def chunks_acked(self, key: Key, n: int) -> None:
        """Chunks are stored: the handler may go on."""
        credit = self.session.chunks_acked(key, n, time.monotonic())
        if credit is not None:
            self.pool.credit(key, credit)

    def apply(self, effects: Effects) -> None:
        """Carries out what the session wants."""
        self._apply(effects)

    def turn_over(self) -> None:
        """Called after everything that happened at one time: files and sockets are written once for all of it."""
        self.pool.flush()
        if self.spool.has_results:
            self.spool.write()
        self.say()

    def outgoing(self) -> list[Outgoing]:
        """What to say now. Results among it are in the journal."""
        return self.session.take(time.monotonic())

    def drain(self) -> None:
        """From now on nothing new is taken."""
        self.draining = True

    def keep_house(self) -> None:
        """Called each second: time may be up, a full disk may have room again, the journal may have grown."""
        now = time.monotonic()
        for key in [key for key, known in self._jobs.items() if known.ends_at <= now]:
            self._jobs[key].ends_at = float("inf")
            problem = Problem(code=Code.TIMEOUT, message="Time was up before the handler was done.")
            self._apply(self.session.expire(key, problem))
        self.spool.write()
        self.spool.retry(self._finished, now)
        self.turn_over()

    # What handlers tell (PoolUser)

    def started(self, job: Job) -> None:
        self._jobs[job.key].started_at = time.monotonic()
        self._watcher.started(job)

    def chunks(self, key: Key, data: list[str]) -> None:
        self.session.chunks(key, data)
        self._watcher.chunks(key, len(data))

    def progress(self, key: Key, percent: float | None, message: str | None) -> None:
        self.session.progress(key, percent, message)
        self._watcher.progress(key, percent, message)

    async def fetch(self, job: Job, index: int) -> Path:
        directory = self.pool.work_dir(job) / "input"
        return await self._transfers.fetch(job.files[index], directory, job.key.attempt)

    def ended(self, job: Job, ending: Ending) -> None:
        if self._killed:
            return  # it is given up, not failed: it will be run again
        stopping = self.session.stop_reason(job.key) is not None
        if (ending.files and not stopping) or ending.work_dir:
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
                job = effect.job
                ends_at = time.monotonic() + max(0.0, job.remaining_s) + DEADLINE_SLACK_S
                self._jobs[job.key] = Started(job, ends_at)
                self.pool.give(job)
            elif isinstance(effect, Keep):
                self.spool.keep(effect.result)
                self._watcher.ended(effect.result)
            elif isinstance(effect, Settle):
                self.settled.set()
            elif isinstance(effect, Stop):
                self._watcher.stopping(effect.key, effect.reason)
                self._jobs[effect.key].ends_at = float("inf")
                self.pool.stop(effect.key)
        self.spool.settle(self._finished.fresh)

    async def _end_with_files(self, job: Job, ending: Ending, stopping: bool) -> None:
        given: list[FileRef] = []
        try:
            if not stopping:
                for file in ending.files:
                    given.append(
                        await self._transfers.upload(file, job.upload_url, job.key.attempt)
                    )
        except (FileUnavailable, OSError, ValueError) as error:
            ending = Ending(code=Code.HANDLER_FAILED, message=f"An output file was lost: {error}")
        finally:
            with contextlib.suppress(OSError):
                await asyncio.to_thread(shutil.rmtree, self.pool.work_dir(job))
        self._finish(job, ending, tuple(given))
        self.turn_over()

    def _finish(self, job: Job, ending: Ending, files: tuple[FileRef, ...]) -> None:
        known = self._jobs.pop(job.key)
        now = time.monotonic()
        took = 0.0 if known.started_at is None else round(now - known.started_at, 6)
        result = Result(
            key=job.key,
            space_id=job.space_id,
            status="succeeded" if ending.code is None else "failed",
            timestamp=datetime.now(UTC),
            output_json=ending.output_json,
            output_files=files,
            processing_time_seconds=took,
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

    async def _end_tasks(self) -> None:
        for task in self._endings:
            task.cancel()
        await asyncio.gather(*self._endings, return_exceptions=True)
