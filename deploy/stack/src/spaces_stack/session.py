"""One run of the stack from a terminal: started, watched, stopped, and proven gone."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

from spaces_stack.child import StartError
from spaces_stack.console import Console
from spaces_stack.own_servers import own_nats_url, own_postgres_url
from spaces_stack.platform import Options, Platform
from spaces_stack.state_dir import StateDir


@dataclass(frozen=True)
class Session:
    """A running platform and where to write."""

    platform: Platform
    state: StateDir
    console: Console
    _interrupts: "Interrupts"

    def wait(self, *, first_steps: str = "", show_password: bool = False) -> None:
        """Returns when somebody asks for the end: Ctrl-C, or spaces-stack down. A password is shown to eyes only."""
        password = self._password() if show_password and self.console.is_watched else None
        self.console.ready(self.platform.gateway_urls, password=password, first_steps=first_steps)
        self._interrupts.wait()

    def _password(self) -> str | None:
        """None when this folder's stack was not the first on its database."""
        path = self.state.admin_password
        return path.read_text().strip() if path.exists() else None


@contextmanager
def started(
    state: StateDir,
    gateway_port: int | None,
    *,
    gateways: int = 1,
    registries: int = 1,
    schedulers: int = 1,
) -> Iterator[Session]:
    """Starts everything; stops it at the end. Raises StartError, also for what would not go away."""
    console = Console()
    state.make()
    interrupts = Interrupts()
    with state.locked():
        platform = Platform(
            Options(
                state=state,
                gateways=gateways,
                registries=registries,
                schedulers=schedulers,
                gateway_port=gateway_port,
                echo=console.line,
                postgres_url=own_postgres_url(),
                nats_url=own_nats_url(),
                environ={"SPACES_LOG_FORMAT": os.environ.get("SPACES_LOG_FORMAT", "human")},
            )
        )
        try:
            # First, so that `spaces-stack down` can end a start that takes long.
            state.write_running(platform.describe())
            platform.start()
            yield Session(platform, state, console, interrupts)
        finally:
            console.say("stopping")
            clean = platform.stop()
        left = platform.leftovers()
    console.say("stopped")
    if left:
        raise StartError("something was left behind:\n" + "\n".join(left))
    if not clean:
        raise StartError("something had to be killed; see the logs")


class Interrupts:
    """What SIGINT and SIGTERM do: end a wait, or interrupt whatever else is going on."""

    def __init__(self) -> None:
        self._waiting = False
        self._asked = threading.Event()
        signal.signal(signal.SIGINT, self._take)
        signal.signal(signal.SIGTERM, self._take)

    def wait(self) -> None:
        """Until the first signal."""
        self._waiting = True
        self._asked.wait()
        self._waiting = False

    def _take(self, number: int, frame: FrameType | None) -> None:
        if not self._waiting:
            raise KeyboardInterrupt
        self._asked.set()
