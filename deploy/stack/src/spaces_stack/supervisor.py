"""Starts programs in order, restarts what dies, stops everything in reverse order."""

import secrets
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from spaces_stack.child import Child, Echo, Program, StartError
from spaces_stack.leftovers import MARK

_FIRST_BACKOFF_S = 0.2
_LONGEST_BACKOFF_S = 5.0
_REVIVE_TRIES = 10
# A program that lived this long did not fail at its start: the next restart comes quickly again.
_STEADY_S = 30.0


class Supervisor:
    """A few programs and their order. Use it from one thread."""

    def __init__(self, log_dir: Path, *, echo: Echo | None = None, restart: bool = True) -> None:
        self._log_dir = log_dir
        self._echo = echo
        self._restart = restart
        self._children: dict[str, Child] = {}
        self._held: set[str] = set()  # names that must stay down: stopped or killed on purpose
        self._backoff_s: dict[str, float] = {}
        self._lock = threading.RLock()
        self._stopping = threading.Event()
        self._forks = ThreadPoolExecutor(max_workers=1, thread_name_prefix="forks")
        self.restarts: dict[str, int] = {}
        self.mark = secrets.token_hex(
            8
        )  # how its processes are known, whoever's children they become

    def start(self, programs: Sequence[Program]) -> None:
        """Starts programs that do not need each other, and waits until all are ready. Raises StartError."""
        children = [self._spawn(program) for program in programs]
        for child in children:
            child.wait_ready()
            self.say("stack", f"{child.program.name} is ready")

    def revive(self, name: str) -> None:
        """Starts a program again that was killed or stopped here, and waits until it is ready."""
        child = self._children[name]
        if child.running:
            child.stop()
        # PostgreSQL refuses to start while the last of a killed server's processes is still leaving.
        for left in reversed(range(_REVIVE_TRIES)):
            try:
                self._spawn(child.program).wait_ready()
                return
            except StartError:
                if not left or self._children[name].running:
                    raise
                self._stopping.wait(_FIRST_BACKOFF_S)

    def stop(self, name: str) -> bool:
        """Ends one program for good, the orderly way. False: it had to be killed."""
        self._held.add(name)
        return self._children[name].stop()

    def kill(self, name: str) -> None:
        """kill -9; the program stays down until revive()."""
        self._held.add(name)
        self._children[name].kill()

    def signal(self, name: str, number: int) -> None:
        """Sends any signal, such as SIGSTOP."""
        self._children[name].signal(number)

    def pid(self, name: str) -> int:
        """The process id of a program."""
        return self._children[name].process.pid

    def names(self) -> list[str]:
        """All programs, in the order they were started."""
        return list(self._children)

    def running(self, name: str) -> bool:
        """Whether a program's process lives."""
        return self._children[name].running

    def log_tail(self, name: str, lines: int = 30) -> str:
        """The end of a program's log."""
        return self._children[name].log_tail(lines)

    def stop_all(self) -> bool:
        """Ends everything in reverse order. False: something had to be killed."""
        self._stopping.set()
        clean = True
        with self._lock:  # whoever is starting something again has either done so or will not
            for name in reversed(self._children):
                if self._children[name].running and not self.stop(name):
                    self.say("stack", f"{name} did not stop in time and was killed")
                    clean = False
        self._forks.shutdown(wait=True)
        return clean

    def say(self, name: str, line: str) -> None:
        """A line for the person who watches."""
        if self._echo is not None:
            self._echo(name, line)

    def _spawn(self, program: Program) -> Child:
        with self._lock:
            self._held.discard(program.name)
            program = replace(program, environ={**program.environ, MARK: self.mark})
            child = Child(program, self._log_dir / f"{program.name}.log", self._forks, self._echo)
            self._children[program.name] = child
            child.start()
        if self._restart:
            threading.Thread(target=self._watch, args=(child,), daemon=True).start()
        return child

    def _watch(self, child: Child) -> None:
        child.process.wait()
        name = child.program.name
        if self._stopping.is_set() or name in self._held:
            return
        steady = time.monotonic() - child.started_at > _STEADY_S
        delay_s = _FIRST_BACKOFF_S if steady else self._backoff_s.get(name, _FIRST_BACKOFF_S)
        self._backoff_s[name] = min(2 * delay_s, _LONGEST_BACKOFF_S)
        self.say("stack", f"{child.describe_exit()}; starting it again in {delay_s:.1f} s")
        self.restarts[name] = self.restarts.get(name, 0) + 1
        if self._stopping.wait(delay_s):
            return
        with self._lock:
            if (
                self._children[name] is child
                and name not in self._held
                and not self._stopping.is_set()
            ):
                self._spawn(child.program)
