"""What the shapes share: how much of everything, the echo load, and the product they are measured on."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median
from typing import Any

from tests.bench.cell import Shape, measure
from tests.bench.product import Product, running_product
from tests.bench.systems import ProductSystem

SHAPE = Shape("http", 1, 64, clients=64)
_WARM_S = 1.0
# More than a gateway takes by itself.
MANY_CONNECTIONS = {"SPACES_GATEWAY_MAX_CONNECTIONS": "30000"}


@dataclass(frozen=True)
class Bench:
    """Measures the load some times."""

    seconds: float = 4.0
    rounds: int = 3
    scale: float = 1.0
    churn_s: float = 150.0

    def many(self, count: int) -> int:
        """So many, or the share of it that was asked for."""
        return max(1, int(count * self.scale))

    def echo(self, system: ProductSystem) -> list[tuple[float, float]]:
        """Requests a second and p99 in ms, for each round. Raises when an answer was wrong."""
        return [self._round(system) for _ in range(self.rounds)]

    def in_turn(self, plain: ProductSystem, other: ProductSystem, **more: Any) -> dict[str, Any]:
        """Two products that are both up take the load in turn, so that the machine's drift is in both."""
        before, after = [], []
        for _ in range(self.rounds):
            before.append(self._round(plain))
            after.append(self._round(other))
        return compared(before, after, **more)

    def _round(self, system: ProductSystem) -> tuple[float, float]:
        load = system.load(SHAPE, self.seconds, _WARM_S)
        assert load is not None
        row = measure("product", True, SHAPE, load, system.processes_of(SHAPE))
        if not row.valid:
            raise AssertionError(f"{row.figures.errors} errors: {row.figures.first_error}")
        return row.figures.rps, row.figures.times.p99_ms


def compared(
    before: Sequence[tuple[float, float]], after: Sequence[tuple[float, float]], **more: Any
) -> dict[str, Any]:
    """Medians before and after, and how they changed."""
    rps, p99_ms = ([median(one[n] for one in side) for side in (before, after)] for n in (0, 1))
    return {
        "rps": [round(each, 1) for each in rps],
        "p99_ms": [round(each, 2) for each in p99_ms],
        "rps_ratio": round(rps[1] / rps[0], 3),
        "p99_ratio": round(p99_ms[1] / p99_ms[0], 3),
        **more,
    }


@contextmanager
def ready_product(
    gateways: int = 1, schedulers: int = 1
) -> Iterator[tuple[Product, ProductSystem]]:
    """With the worker of the echo load."""
    with running_product(
        gateways=gateways, schedulers=schedulers, environ=MANY_CONNECTIONS
    ) as running:
        system = ProductSystem(running)
        system.prepare(SHAPE)
        yield running, system
