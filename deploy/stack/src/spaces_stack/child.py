"""One program of the stack: started, watched, logged, stopped."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from spaces_stack.accounts import Account

_LAUNCH = Path(__file__).with_name("launch.py")
_READY_POLL_S = 0.02

Echo = Callable[[str, str], None]


class StartError(Exception):
    """A program did not start or did not become ready; the message holds the end of its log."""


@dataclass(frozen=True)
class Program:
    """What to run and how to know that it is ready."""

    name: str
    argv: tuple[str, ...]
    environ: Mapping[str, str] = field(default_factory=dict)
    ready: Callable[[int], bool] | None = None  # is told the process id
    ready_within_s: float = 60.0
    stop_signal: int = signal.SIGTERM
    stop_within_s: float = 25.0
    # What the kernel sends when the supervisor itself is killed.
    death_signal: int = signal.SIGKILL
    account: Account | None = None
    cwd: Path | None = None
    quiet: bool = False  # its lines go to its log only


class Child:
    """A running program. All forks go through one thread: the kernel ties a child to the thread that made it."""

    def __init__(
        self, program: Program, log_path: Path, forks: Executor, echo: Echo | None
    ) -> None:
        self.program = program
        self._log_path = log_path
        self._forks = forks
        self._echo = echo
        self._process: subprocess.Popen[bytes] | None = None
        self.started_at = 0.0

    def start(self) -> None:
        """Forks and returns; `wait_ready` tells when it serves."""
        self._process = self._forks.submit(self._fork).result()
        self.started_at = time.monotonic()
        assert self._process.stdout is not None
        threading.Thread(
            target=self._pump, args=(self._process.stdout,), daemon=True, name=self.program.name
        ).start()

    def wait_ready(self) -> None:
        """Blocks until it serves. Raises StartError when it ends first or takes too long."""
        until = time.monotonic() + self.program.ready_within_s
        while self.program.ready is not None and not self.program.ready(self.process.pid):
            if self.process.poll() is not None:
                raise StartError(f"{self.describe_exit()}\n{self.log_tail()}")
            if time.monotonic() > until:
                raise StartError(
                    f"{self.program.name} is not ready after {self.program.ready_within_s:.0f} s\n{self.log_tail()}"
                )
            time.sleep(_READY_POLL_S)

    def signal(self, number: int) -> None:
        """Sends a signal; nothing happens when it has ended."""
        if self._process is not None:
            self._process.send_signal(number)

    def stop(self) -> bool:
        """Asks it to end, and ends its whole process group when it does not. False: it had to be killed."""
        if self._process is None or self._process.poll() is not None:
            return True
        self.signal(self.program.stop_signal)
        try:
            self._process.wait(self.program.stop_within_s)
        except subprocess.TimeoutExpired:
            self.kill()
            return False
        self._kill_group()
        return True

    def kill(self) -> None:
        """kill -9 of the program itself and what it left in its process group; returns when it is gone."""
        if self._process is None:
            return
        self._process.kill()
        self._process.wait()
        self._kill_group()

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The operating system's process. Only after start()."""
        assert self._process is not None
        return self._process

    @property
    def running(self) -> bool:
        """Whether the process lives."""
        return self._process is not None and self._process.poll() is None

    def describe_exit(self) -> str:
        """How it ended, for a person."""
        code = self.process.poll()
        if code is not None and code < 0:
            return f"{self.program.name} was ended by {signal.Signals(-code).name}"
        return f"{self.program.name} ended with exit code {code}"

    def log_tail(self, lines: int = 30) -> str:
        """The end of its log."""
        try:
            return "\n".join(self._log_path.read_text(errors="replace").splitlines()[-lines:])
        except OSError:
            return ""

    def _fork(self) -> subprocess.Popen[bytes]:
        account = self.program.account
        launch = [
            sys.executable,
            "-I",
            "-S",
            str(_LAUNCH),
            str(self.program.death_signal),
            str(os.getpid()),
            str(account.uid if account else -1),
            str(account.gid if account else -1),
        ]
        return subprocess.Popen(
            [*launch, *self.program.argv],
            env=dict(self.program.environ),
            cwd=self.program.cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            # Ctrl-C in the terminal must reach the supervisor only: it stops the children in order.
            start_new_session=True,
        )

    def _pump(self, lines: IO[bytes]) -> None:
        with self._log_path.open("ab", buffering=0) as log, lines:
            for line in lines:
                log.write(line)
                if self._echo is not None and not self.program.quiet:
                    self._echo(self.program.name, line.decode(errors="replace").rstrip("\n"))

    def _kill_group(self) -> None:
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            return
