"""The systems of a part, kept running through its rounds."""

import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Protocol

from tests.bench import venvs
from tests.bench.accounting import spent
from tests.bench.cell import Shape
from tests.bench.load.flow import Load
from tests.bench.parts import PEERS, Part
from tests.bench.peer import running_peer
from tests.bench.product import Product, running_product

PRODUCT = "product"
_FLOWS = {
    "http": "product-http",
    "socket": "product-socket",
    "tokens": "product-tokens",
    "sse": "product-sse",
    "offered": "product-submit",
}
_IDLE_S = 1.0


class System(Protocol):
    """Something that can be loaded."""

    @property
    def name(self) -> str: ...
    @property
    def durable(self) -> bool: ...
    def processes_of(self, shape: Shape) -> Mapping[str, int]: ...
    def load(self, shape: Shape, seconds: float, warm_s: float) -> Load | None: ...


class ProductSystem:
    """The product with a worker for each shape that is asked of it."""

    name = PRODUCT
    durable = True

    def __init__(self, product: Product) -> None:
        self._product = product
        self._spaces: dict[str, tuple[str, ...]] = {}

    def prepare(self, shape: Shape) -> None:
        """Starts the worker of a shape, if it does not run yet."""
        name = self._worker(shape)
        if name not in self._spaces:
            self._spaces[name] = self._product.add_worker(
                name,
                spaces=shape.spaces,
                slots=shape.slots,
                handler=_handler(shape),
            )

    def processes_of(self, shape: Shape) -> dict[str, int]:
        """The servers, the services and the worker of this shape."""
        others = set(self._spaces) - {self._worker(shape)}
        processes = self._product.processes
        return {
            "worker" if name in self._spaces else name: pid
            for name, pid in processes.items()
            if name not in others
        }

    def load(self, shape: Shape, seconds: float, warm_s: float) -> Load | None:
        """The load of a cell."""
        spaces = self._spaces[self._worker(shape)]
        return Load(
            _FLOWS[shape.transport],
            self._product.port,
            clients=shape.clients,
            seconds=seconds,
            warm_s=warm_s,
            rate=shape.rate,
            spaces=spaces,
            token=self._product.token,
        )

    def _worker(self, shape: Shape) -> str:
        return f"{_handler(shape)}-{shape.spaces}x{shape.slots}"


def _handler(shape: Shape) -> str:
    return "tokens" if shape.transport in ("tokens", "sse") else "echo"


@contextmanager
def running_systems(part: Part, wanted: frozenset[str] | None) -> Iterator[list[System]]:
    """Everybody of a part whose environment is there; `wanted` leaves others out."""
    systems: list[System] = []
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(dir="/var/tmp")))
        home.chmod(0o711)
        if wanted is None or PRODUCT in wanted:
            product = ProductSystem(stack.enter_context(running_product()))
            for cell in part.cells:
                product.prepare(cell.shape)
            systems.append(product)
        for name, spaces, slots in _peers(part):
            peer = PEERS[name]().with_shape(spaces, slots)
            if wanted is not None and name not in wanted:
                continue
            if not venvs.ready(peer.venv):
                print(f"{name} is left out: its environment is not there; make bench makes it")
                continue
            folder = home / f"{name}-{spaces}x{slots}"
            systems.append(stack.enter_context(running_peer(peer, folder)))
        yield systems


def _peers(part: Part) -> list[tuple[str, int, int]]:
    """Who has to run, in which shape: each once."""
    found = {
        (name, cell.shape.spaces, cell.shape.slots): None
        for cell in part.cells
        for name in cell.peers
    }
    return list(found)


def idle_shares(systems: list[System], part: Part) -> dict[str, float]:
    """How much of one core each takes while nobody asks it anything: what the others have to bear."""
    shape = part.cells[0].shape
    before = [spent(system.processes_of(shape)) for system in systems]
    time.sleep(_IDLE_S)
    return {
        system.name: round(
            sum(spent(system.processes_of(shape)).since(earlier).values()) / _IDLE_S, 3
        )
        for system, earlier in zip(systems, before, strict=True)
    }
