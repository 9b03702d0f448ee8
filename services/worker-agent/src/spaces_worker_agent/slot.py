"""One slot: a handler process, watched, stopped when it must stop, and started again when it dies."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import structlog

from spaces_contracts.problems import Code
from spaces_worker_agent.attempts import Ending, GivenFile, Job, Key
from spaces_worker_agent.death import describe_death, out_of_memory_kills
from spaces_worker_agent.output_log import OutputPipe
from spaces_worker_agent.pipe import HEADER, MAX_BODY_BYTES, Kind, pack_json

log = structlog.get_logger()

RESTART_FIRST_S = 0.1
RESTART_MAX_S = 30.0
TERM_TO_KILL_S = 1.0
EXIT_WAIT_S = 5.0
PIPE_BYTES = 65_536


@dataclass(frozen=True)
class HandlerCommand:
    """How handler processes are started."""

    target: str
    environment: Mapping[str, str] = field(default_factory=dict)
    grace_s: float = 3.0


@dataclass(frozen=True)
class Broken:
    """A handler that could not be found (`stage` find) or loaded (`stage` load)."""

    stage: str
    message: str
    target_error: bool = False


class SlotUser(Protocol):
    """Who hears what a slot's handler does."""

    def slot_ready(self, slot: "Slot") -> None: ...
    def slot_gone(self, slot: "Slot") -> None: ...
    def slot_broken(self, slot: "Slot", broken: Broken) -> None: ...
    def chunk(self, key: Key, data: str) -> None: ...
    async def room(self, key: Key) -> None: ...
    def progress(self, key: Key, percent: float | None, message: str | None) -> None: ...
    async def fetch(self, job: Job, index: int) -> Path: ...
    def ended(self, slot: "Slot", job: Job, ending: Ending) -> None: ...


class Slot:
    """Runs one job at a time. Its process is spawned, in a group of its own."""

    def __init__(self, number: int, command: HandlerCommand, user: SlotUser, root: Path) -> None:
        self.number = number
        self._command = command
        self._user = user
        self._root = root
        self._process: asyncio.subprocess.Process | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._job: Job | None = None
        self._outputs: list[OutputPipe] = []
        self._timers: list[asyncio.TimerHandle] = []
        self._fetch: asyncio.Task[None] | None = None
        self._closing = asyncio.Event()
        self._failures = 0

    @property
    def job(self) -> Job | None:
        """What runs now."""
        return self._job

    @property
    def pid(self) -> int | None:
        """The process id of the handler, while it lives."""
        return None if self._process is None else self._process.pid

    def work_dir(self, job: Job) -> Path:
        """Where the files of a job lie while it runs."""
        return self._root / f"{job.key.request_id}-{job.key.attempt}"

    def give(self, job: Job) -> None:
        """Starts a job; the slot must be ready and free."""
        assert self._job is None
        assert self._writer is not None
        self._job = job
        facts = {
            "request_id": job.key.request_id,
            "attempt": job.key.attempt,
            "space": job.space,
            "payload": job.payload,
            "files": [file.model_dump(mode="json", exclude={"url"}) for file in job.files],
            "remaining_s": job.remaining_s,
            "queue_size": job.queue_size,
            "work_dir": str(self.work_dir(job)),
        }
        self._writer.write(pack_json(Kind.JOB, facts))

    def stop(self) -> None:
        """Asks the handler to stop, then makes it: terminate after the grace, then kill."""
        if self._job is None or self._writer is None:
            return
        self._tell(Kind.CANCEL, self._job, {})
        loop = asyncio.get_running_loop()
        grace = self._command.grace_s
        self._timers += [
            loop.call_later(grace, self._signal, signal.SIGTERM),
            loop.call_later(grace + TERM_TO_KILL_S, self._signal, signal.SIGKILL),
        ]

    def kill(self) -> None:
        """Ends the process and all it started, now and for good."""
        self._closing.set()
        self._signal(signal.SIGKILL)

    def close(self) -> None:
        """Ends an idle handler: its pipe closes and it leaves."""
        self._closing.set()
        if self._writer is not None:
            self._writer.close()
        if self._process is not None:
            loop = asyncio.get_running_loop()
            self._timers.append(loop.call_later(TERM_TO_KILL_S, self._signal, signal.SIGKILL))

    async def run(self) -> None:
        """Keeps a process alive until the slot is closed."""
        while not self._closing.is_set():
            try:
                broken = await self._live()
            except OSError as error:  # no memory or no room for another process
                broken = Broken("load", f"The handler process could not be started: {error}")
            if self._closing.is_set():
                return
            if broken is not None:
                self._user.slot_broken(self, broken)
            delay = min(RESTART_MAX_S, RESTART_FIRST_S * 2**self._failures)
            self._failures = min(self._failures + 1, 16)
            log.warning("handler_restarts", slot=self.number, after_s=delay)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(delay):
                    await self._closing.wait()

    async def _live(self) -> Broken | None:
        """One process from start to end."""
        kills_before = out_of_memory_kills()
        reader = await self._spawn()
        process = self._process
        assert process is not None
        if self._closing.is_set():  # while it was being started
            self._signal(signal.SIGKILL)
        watch = asyncio.create_task(self._end_group(process))
        broken: Broken | None = None
        ready = False
        try:
            while True:
                kind, body = await _receive(reader)
                if kind is Kind.BROKEN:
                    facts = json.loads(body)
                    broken = Broken(facts["stage"], facts["error"], facts["target_error"])
                elif kind is Kind.READY:
                    ready = True
                    self._user.slot_ready(self)
                else:
                    await self._hear(kind, body)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the process has ended, or closes its pipe on the way out
        finally:
            self._user.slot_gone(self)  # first of all: nobody may give it a job any more
            await self._bury(process)
            watch.cancel()
            for pipe in self._outputs:
                await pipe.close(TERM_TO_KILL_S)
        oom = out_of_memory_kills() > kills_before
        text = describe_death(process.returncode, out_of_memory=oom)
        if not self._closing.is_set() and broken is None:
            log.error("handler_died", slot=self.number, pid=process.pid, reason=text)
        if self._job is not None:
            self._end(Ending(code=Code.HANDLER_CRASHED, message=f"The handler process {text}."))
        if broken is None and not ready and not self._closing.is_set():
            broken = Broken("load", f"The handler process {text} while it loaded.")
        return broken

    async def _spawn(self) -> asyncio.StreamReader:
        ours, theirs = socket.socketpair()
        for end in (ours, theirs):
            # Small, so that a handler that yields faster than its client reads soon feels it.
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, PIPE_BYTES)
        environment = {**self._command.environment, "PYTHONUNBUFFERED": "1"}
        # -P: a file of the user's called queue.py must not replace Python's.
        arguments = ["-P", "-m", "spaces_worker_agent.handler_process"]
        arguments += [str(theirs.fileno()), str(os.getpid()), self._command.target]
        self._outputs = [OutputPipe(), OutputPipe()]
        with theirs:
            try:
                self._process = await asyncio.create_subprocess_exec(
                    sys.executable,
                    *arguments,
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=self._outputs[0].write_end,
                    stderr=self._outputs[1].write_end,
                    pass_fds=[theirs.fileno()],
                    env=environment,
                    process_group=0,
                )
            except OSError:
                ours.close()
                for pipe in self._outputs:
                    pipe.drop()
                raise
        for pipe, name in zip(self._outputs, ("stdout", "stderr"), strict=True):
            await pipe.log(self.number, name)
        reader, self._writer = await asyncio.open_connection(sock=ours, limit=PIPE_BYTES)
        return reader

    async def _end_group(self, process: asyncio.subprocess.Process) -> None:
        """Children that a handler forked hold its end of the pipe: with them gone, its death shows."""
        await process.wait()
        self._signal(signal.SIGKILL)

    async def _bury(self, process: asyncio.subprocess.Process) -> None:
        """Waits for the end of the process and ends what it left behind."""
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()
        try:
            async with asyncio.timeout(EXIT_WAIT_S):
                await process.wait()
        except TimeoutError:
            self._signal(signal.SIGKILL)
            await process.wait()
        self._signal(signal.SIGKILL)
        self._process = None

    async def _hear(self, kind: Kind, body: bytes) -> None:
        job = self._job
        if job is None:
            return
        if kind is Kind.CHUNK:
            self._user.chunk(job.key, body.decode())
            await self._user.room(job.key)
        elif kind is Kind.PROGRESS:
            facts = json.loads(body)
            self._user.progress(job.key, facts["percent"], facts["message"])
        elif kind is Kind.FETCH:
            self._fetch = asyncio.create_task(self._bring(job, json.loads(body)["index"]))
        elif kind is Kind.DONE:
            self._failures = 0
            facts_line, _, output = body.partition(b"\n")
            files = tuple(GivenFile(**file) for file in json.loads(facts_line)["files"])
            self._end(Ending(output_json=output.decode() or None, files=files))
        elif kind is Kind.FAILED:
            self._failures = 0
            facts = json.loads(body)
            self._end(Ending(code=Code(facts["code"]), message=facts["error"]))

    async def _bring(self, job: Job, index: int) -> None:
        try:
            path = await self._user.fetch(job, index)
        except OSError as error:
            self._tell(Kind.FILE, job, {"error": str(error)})
        else:
            self._tell(Kind.FILE, job, {"path": str(path)})

    def _tell(self, kind: Kind, job: Job, facts: dict[str, Any]) -> None:
        if self._writer is not None and self._job is job:
            named = {"request_id": job.key.request_id, "attempt": job.key.attempt}
            self._writer.write(pack_json(kind, named | facts))

    def _end(self, ending: Ending) -> None:
        job, self._job = self._job, None
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()
        if self._fetch is not None:
            self._fetch.cancel()
            self._fetch = None
        if job is not None:
            self._user.ended(self, job, ending)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            # The group is empty when the process and all its children are gone already.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, number)


async def _receive(reader: asyncio.StreamReader) -> tuple[Kind, bytes]:
    size, kind = HEADER.unpack(await reader.readexactly(HEADER.size))
    if size > MAX_BODY_BYTES:
        raise ConnectionError(f"a message of {size} bytes")
    return Kind(kind), await reader.readexactly(size)
