"""One handler process as the agent sees it: started, given jobs, stopped when it must stop, and buried."""

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
from spaces_worker_agent.async_pipe import AsyncPipe
from spaces_worker_agent.attempts import Ending, GivenFile, Job, Key
from spaces_worker_agent.death import describe_death, out_of_memory_kills
from spaces_worker_agent.output_log import OutputPipe
from spaces_worker_agent.pipe import COUNT, REMAINING, Kind, pack, pack_json

log = structlog.get_logger()

TERM_TO_KILL_S = 1.0
EXIT_WAIT_S = 5.0
# What runs beside a request that does not stop has so long to finish before the process is ended all the same.
NEIGHBOURS_S = 60.0


@dataclass(frozen=True)
class HandlerCommand:
    """How handler processes are started."""

    target: str
    environment: Mapping[str, str] = field(default_factory=dict)
    grace_s: float = 3.0
    processes: int = 1  # of an async handler


@dataclass(frozen=True)
class Broken:
    """A handler that could not be found (`stage` find) or loaded (`stage` load)."""

    stage: str
    message: str
    target_error: bool = False


class ProcessUser(Protocol):
    """Who hears what a handler process does."""

    def found(self, process: "HandlerProcess", concurrent: bool) -> None: ...
    def ready(self, process: "HandlerProcess") -> None: ...
    def chunks(self, key: Key, data: list[str]) -> None: ...
    def progress(self, key: Key, percent: float | None, message: str | None) -> None: ...
    async def fetch(self, job: Job, index: int) -> Path: ...
    def ended(self, process: "HandlerProcess", job: Job, ending: Ending) -> None: ...
    def heard(self) -> None:
        """Everything was told that happened at one time."""


@dataclass(eq=False, slots=True)
class Run:
    """One job in a process."""

    number: int
    job: Job
    timer: asyncio.TimerHandle | None = None  # the grace of a stop
    deaf: bool = False  # it was told to stop, and the grace is over
    fetch: "asyncio.Task[None] | None" = None
    fetched: bool = False


class HandlerProcess:
    """Runs the jobs it is given side by side; how many it can take is for its user to know.

    A job that does not stop in time condemns the process: it is given nothing new, and is ended as soon as only such
    jobs are left in it.
    """

    def __init__(self, place: int, command: HandlerCommand, user: ProcessUser, root: Path) -> None:
        self.place = place
        self.usable = False  # ready, and not on its way out
        self.offered = False  # for its user
        self.served = False  # it brought a job to an end
        self.condemned = asyncio.Event()
        self._command = command
        self._user = user
        self._root = root
        self._runs: dict[int, Run] = {}
        self._numbers: dict[Key, int] = {}
        self._last_number = 0
        self._process: asyncio.subprocess.Process | None = None
        self._pipe: AsyncPipe | None = None
        self._outputs: list[OutputPipe] = []
        self._kills: list[asyncio.TimerHandle] = []
        self._ended = asyncio.Event()
        self._closing = False
        self._ready = False
        self._broken: Broken | None = None
        self._why: str | None = None

    @property
    def load(self) -> int:
        """How many jobs it runs."""
        return len(self._runs)

    @property
    def pid(self) -> int | None:
        """The process id, while it lives."""
        return None if self._process is None else self._process.pid

    def give(self, job: Job, remaining_s: float) -> None:
        """Starts a job; the process must be usable."""
        assert self._pipe is not None
        self._last_number += 1
        number = self._last_number & 0xFFFFFFFF
        self._runs[number] = Run(number, job)
        self._numbers[job.key] = number
        self._pipe.send(pack(Kind.JOB, number, REMAINING.pack(remaining_s) + job.frame))

    def stop(self, key: Key) -> None:
        """Asks a job to stop, then makes it."""
        run = self._find(key)
        if run is None or run.timer is not None or run.deaf:
            return
        self._tell(Kind.CANCEL, run)
        loop = asyncio.get_running_loop()
        run.timer = loop.call_later(self._command.grace_s, self._does_not_stop, run)

    def credit(self, key: Key, n: int) -> None:
        """Tells a job that all its chunks up to n are stored."""
        run = self._find(key)
        if run is not None:
            self._tell(Kind.CREDIT, run, COUNT.pack(n))

    def flush(self) -> None:
        """Hands over what the process was told."""
        if self._pipe is not None:
            self._pipe.flush()

    def kill(self) -> None:
        """Ends the process and all it started, now and for good."""
        self._closing = True
        self._signal(signal.SIGKILL)

    def close(self) -> None:
        """Ends an idle process: its pipe closes and it leaves."""
        self._closing = True
        self.usable = False
        if self._pipe is not None:
            self._pipe.close()
        self._signal_later(TERM_TO_KILL_S, signal.SIGKILL)

    async def live(self) -> Broken | None:
        """The whole life. Returns why it could not serve, if that is so. Raises OSError when it cannot be started."""
        kills_before = out_of_memory_kills()
        await self._spawn()
        process = self._process
        assert process is not None
        if self._closing:  # while it was being started
            self._signal(signal.SIGKILL)
        watch = asyncio.create_task(self._end_group(process))
        try:
            await self._ended.wait()
        finally:
            self.usable = False
            await self._bury(process)
            watch.cancel()
            for output in self._outputs:
                await output.close(TERM_TO_KILL_S)
        oom = out_of_memory_kills() > kills_before
        text = self._why or describe_death(process.returncode, out_of_memory=oom)
        if not self._closing and self._broken is None:
            log.error("handler_died", process=self.place, pid=process.pid, reason=text)
        for run in list(self._runs.values()):
            message = f"The handler process {text}."
            made = self.work_dir(run.job).exists()
            self._end(run, Ending(code=Code.HANDLER_CRASHED, message=message, work_dir=made))
        self._user.heard()
        if self._broken is None and not self._ready and not self._closing:
            return Broken("load", f"The handler process {text} while it loaded.")
        return self._broken

    def work_dir(self, job: Job) -> Path:
        """Where the files of a job lie while it runs."""
        return self._root / f"{job.key.request_id}-{job.key.attempt}"

    # Start and end

    async def _spawn(self) -> None:
        ours, theirs = socket.socketpair()
        environment = {**self._command.environment, "PYTHONUNBUFFERED": "1"}
        # -P: a file of the user's called queue.py must not replace Python's.
        arguments = ["-P", "-m", "spaces_worker_agent.handler_process", str(theirs.fileno())]
        arguments += [str(os.getpid()), str(self._root), self._command.target]
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
                for output in self._outputs:
                    output.drop()
                raise
        for output, name in zip(self._outputs, ("stdout", "stderr"), strict=True):
            await output.log(self.place, name)
        ours.setblocking(False)
        pipe = AsyncPipe(self._hear, self._user.heard, self._ended.set)
        await asyncio.get_running_loop().create_connection(lambda: pipe, sock=ours)
        self._pipe = pipe

    async def _end_group(self, process: asyncio.subprocess.Process) -> None:
        """Children that a handler forked hold its end of the pipe: with them gone, its death shows."""
        await process.wait()
        self._signal(signal.SIGKILL)

    async def _bury(self, process: asyncio.subprocess.Process) -> None:
        """Waits for the end of the process and ends what it left behind."""
        pipe, self._pipe = self._pipe, None
        if pipe is not None:
            pipe.close()
        try:
            async with asyncio.timeout(EXIT_WAIT_S):
                await process.wait()
        except TimeoutError:
            self._signal(signal.SIGKILL)
            await process.wait()
        self._signal(signal.SIGKILL)
        for timer in self._kills:
            timer.cancel()
        self._process = None

    # Jobs that do not stop

    def _does_not_stop(self, run: Run) -> None:
        run.deaf = True
        if not self.condemned.is_set() and not self._only_deaf():
            log.warning("handler_does_not_stop", process=self.place, others=self.load - 1)
            self.usable = False
            self.condemned.set()
            loop = asyncio.get_running_loop()
            self._kills.append(loop.call_later(NEIGHBOURS_S, self._end_with_neighbours))
        self._end_if_only_deaf()

    def _only_deaf(self) -> bool:
        return bool(self._runs) and all(run.deaf for run in self._runs.values())

    def _end_if_only_deaf(self) -> None:
        if self._only_deaf():
            self._terminate()
        elif self.condemned.is_set() and not self._runs:
            self.close()

    def _end_with_neighbours(self) -> None:
        self._why = "was ended because another request in it did not stop"
        self._terminate()

    def _terminate(self) -> None:
        self.usable = False
        self._signal(signal.SIGTERM)
        self._signal_later(TERM_TO_KILL_S, signal.SIGKILL)

    def _signal_later(self, delay_s: float, number: signal.Signals) -> None:
        if self._process is not None:
            loop = asyncio.get_running_loop()
            self._kills.append(loop.call_later(delay_s, self._signal, number))

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            # The group is empty when the process and all its children are gone already.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, number)

    # What it says

    def _hear(self, kind: int, number: int, body: bytes) -> None:
        run = self._runs.get(number)
        if run is not None:
            self._hear_about(run, kind, body)
        elif kind == Kind.FOUND:
            self._user.found(self, json.loads(body)["concurrent"])
        elif kind == Kind.READY:
            self._ready = True
            self.usable = not self._closing
            self._user.ready(self)
        elif kind == Kind.BROKEN:
            facts = json.loads(body)
            self._broken = Broken(facts["stage"], facts["error"], facts["target_error"])

    def _hear_about(self, run: Run, kind: int, body: bytes) -> None:
        if kind == Kind.DONE:
            facts_line, _, output = body.partition(b"\n")
            ending = Ending(output_json=output.decode() or None)
            if facts_line:
                facts = json.loads(facts_line)
                files = tuple(GivenFile(**file) for file in facts["files"])
                ending = Ending(ending.output_json, files, work_dir=facts["work_dir"])
            self.served = True
            self._end(run, ending)
        elif kind == Kind.CHUNKS:
            self._user.chunks(run.job.key, body.decode().split("\n"))
        elif kind == Kind.PROGRESS:
            facts = json.loads(body)
            self._user.progress(run.job.key, facts["percent"], facts["message"])
        elif kind == Kind.FETCH:
            run.fetched = True
            run.fetch = asyncio.create_task(self._bring(run, json.loads(body)["index"]))
        elif kind == Kind.FAILED:
            facts = json.loads(body)
            self.served = True
            code, made = Code(facts["code"]), facts["work_dir"]
            self._end(run, Ending(code=code, message=facts["error"], work_dir=made))

    async def _bring(self, run: Run, index: int) -> None:
        try:
            path = await self._user.fetch(run.job, index)
        except OSError as error:
            facts: dict[str, Any] = {"error": str(error)}
        else:
            facts = {"path": str(path)}
        if run.number in self._runs and self._pipe is not None:
            self._pipe.send(pack_json(Kind.FILE, run.number, facts))
            self._pipe.flush()

    def _find(self, key: Key) -> Run | None:
        number = self._numbers.get(key)
        return None if number is None else self._runs[number]

    def _tell(self, kind: Kind, run: Run, body: bytes = b"") -> None:
        if self._pipe is not None:
            self._pipe.send(pack(kind, run.number, body))

    def _end(self, run: Run, ending: Ending) -> None:
        del self._runs[run.number]
        del self._numbers[run.job.key]
        if run.timer is not None:
            run.timer.cancel()
        if run.fetch is not None:
            run.fetch.cancel()
        if run.fetched and not ending.work_dir:
            ending = Ending(ending.output_json, ending.files, ending.code, ending.message, True)
        self._user.ended(self, run.job, ending)
        if self.condemned.is_set():
            self._end_if_only_deaf()
