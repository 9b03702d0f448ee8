"""The folder that holds everything the stack writes: `.spaces/`, or where SPACES_STATE_DIR says."""

import fcntl
import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from spaces_stack.child import StartError
from spaces_stack.secret_files import SecretFiles

_STOP_WITHIN_S = 90.0
_POLL_S = 0.05


@dataclass(frozen=True)
class RunningStack:
    """What a started stack tells the other commands."""

    pid: int
    gateway_urls: list[str]
    health_urls: dict[str, str] = field(default_factory=dict)
    nats_url: str = ""
    ports: list[int] = field(default_factory=list)


class StateDir:
    """Paths inside the folder, and the lock that keeps two stacks out of it."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self.logs = self.path / "logs"
        self.files = self.path / "files"
        self.nats_store = self.path / "nats"
        self.admin_key = self.path / "admin-key"
        self.admin_password = self.path / "admin-password"
        self._running = self.path / "running.json"

    @classmethod
    def default(cls) -> "StateDir":
        """Where SPACES_STATE_DIR says, else `.spaces` here."""
        return cls(Path(os.environ.get("SPACES_STATE_DIR") or ".spaces"))

    def make(self) -> None:
        """Creates the folders. The top one may be entered by others: PostgreSQL runs as another user."""
        self.path.mkdir(mode=0o755, parents=True, exist_ok=True)
        for folder in (self.logs, self.files, self.nats_store):
            folder.mkdir(mode=0o700, exist_ok=True)

    @property
    def secrets(self) -> SecretFiles:
        """The credentials of this stack."""
        return SecretFiles(self.path / "secrets")

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Holds the folder for one stack. Raises StartError when another one has it."""
        with (self.path / "lock").open("a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise StartError(
                    f"a stack already runs in {self.path}; stop it with spaces-stack down,"
                    " or choose another folder with SPACES_STATE_DIR"
                ) from None
            try:
                yield
            finally:
                self._running.unlink(missing_ok=True)

    def write_running(self, running: RunningStack) -> None:
        """Says that a stack runs and where."""
        self._running.write_text(json.dumps(asdict(running), indent=1))

    def running(self) -> RunningStack | None:
        """The stack that runs here now; None when there is none, whatever an earlier one left behind."""
        if not self._is_locked():
            return None
        try:
            return RunningStack(**json.loads(self._running.read_text()))
        except FileNotFoundError:
            return None

    def stop_running(self) -> bool:
        """Asks the running stack to stop and waits for its end. False: there was none."""
        running = self.running()
        if running is None:
            return False
        os.kill(running.pid, signal.SIGTERM)
        until = time.monotonic() + _STOP_WITHIN_S
        while self._is_locked():
            if time.monotonic() > until:
                raise StartError(
                    f"process {running.pid} did not stop within {_STOP_WITHIN_S:.0f} s"
                )
            time.sleep(_POLL_S)
        return True

    def _is_locked(self) -> bool:
        try:
            with (self.path / "lock").open("r") as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except FileNotFoundError:
            return False
        except BlockingIOError:
            return True
        return False
