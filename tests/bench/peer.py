"""A peer: its processes, in its own venv, and which cells it can fill."""

import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from spaces_stack.child import Program
from spaces_stack.ports import free_ports
from spaces_stack.supervisor import Supervisor
from tests.bench.cell import Shape
from tests.bench.load.flow import Load
from tests.bench.venvs import PEERS, venv

_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True)
class Flow:
    """How a transport's cells are filled: the load generator's flow, and its options."""

    name: str
    options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Running:
    """A peer that answers."""

    name: str
    durable: bool
    port: int
    slots: int
    spaces: Sequence[str]
    flows: Mapping[str, Flow]
    supervisor: Supervisor
    facts: Mapping[str, str]

    def processes_of(self, _shape: Shape) -> dict[str, int]:
        """Process ids by name."""
        return {name: self.supervisor.pid(name) for name in self.supervisor.names()}

    def load(self, shape: Shape, seconds: float, warm_s: float) -> Load | None:
        """The load of a cell; None when this peer, as it was started, does not have that shape."""
        flow = self.flows.get(shape.transport)
        if flow is None or shape.slots != self.slots or shape.spaces != len(self.spaces):
            return None
        return Load(
            flow.name,
            self.port,
            clients=shape.clients,
            seconds=seconds,
            warm_s=warm_s,
            spaces=tuple(self.spaces),
            options={**flow.options, **self.facts},
        )


@dataclass(frozen=True)
class Setting:
    """What a peer's programs are made from."""

    venv: Path
    folder: Path
    home: Path  # for its data and logs
    port: int
    other_port: int  # of the server behind it, if it has one
    slots: int
    spaces: Sequence[str]

    def program(
        self, name: str, *argv: str, ready: Callable[[int], bool] | None = None, **environ: str
    ) -> Program:
        """A program of the peer's venv."""
        variables = {"PATH": f"{self.venv / 'bin'}:/usr/bin:/bin", "PYTHONUNBUFFERED": "1"}
        return Program(
            name=name,
            argv=(str(self.venv / "bin" / argv[0]), *argv[1:]),
            environ={
                **variables,
                "HOME": str(self.home),
                "PYTHONPATH": str(self.folder),
                **environ,
            },
            ready=ready,
            stop_within_s=5,
            cwd=self.folder,
        )


@dataclass(frozen=True)
class Peer:
    """How to start one. `programs` are started in order, those of one group together."""

    name: str
    durable: bool
    venv: str  # the folder below peers/ and venvs/
    programs: Callable[[Setting], Sequence[Sequence[Program]]]
    flows: Mapping[str, Flow]
    slots: int = 64
    spaces: int = 1
    # What its clients need to know beside the port.
    facts: Callable[["Setting"], Mapping[str, str]] = lambda _: {}

    def with_shape(self, spaces: int, slots: int) -> "Peer":
        """The same, for other cells."""
        return replace(self, spaces=spaces, slots=slots)


@contextmanager
def running_peer(peer: Peer, home: Path) -> Iterator[Running]:
    """Starts everything of a peer, and stops it."""
    home.mkdir(parents=True, exist_ok=True)
    home.chmod(0o711)  # PostgreSQL runs as another user
    port, other_port = free_ports(2)
    spaces = [f"space-{number}" for number in range(1, peer.spaces + 1)]
    setting = Setting(
        venv(peer.venv), PEERS / peer.venv, home, port, other_port, peer.slots, spaces
    )
    supervisor = Supervisor(home, restart=False)
    try:
        for group in peer.programs(setting):
            supervisor.start(group)
        facts = peer.facts(setting)
        yield Running(
            peer.name, peer.durable, port, peer.slots, spaces, peer.flows, supervisor, facts
        )
    finally:
        supervisor.stop_all()


def answers(url: str, text: str = "") -> Callable[[int], bool]:
    """Ready when a GET answers 200 with this in it."""

    def ready(_pid: int) -> bool:
        try:
            with _OPENER.open(url, timeout=2) as answer:
                return text in answer.read().decode()
        except (OSError, urllib.error.URLError):
            return False

    return ready
