"""One cell of the table: one system, one load, what it did and what it cost."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.bench.accounting import Spent, machine_busy_s, memory_mib, spent
from tests.bench.load.figures import Figures
from tests.bench.load.flow import Load
from tests.bench.load.process import run_load


@dataclass(frozen=True)
class Shape:
    """What distinguishes cells: the key by which systems are compared."""

    transport: str  # http, socket, tokens (streams on a socket), sse (likewise), offered (a rate)
    spaces: int
    slots: int  # of each space
    clients: int
    rate: float = 0.0

    def __str__(self) -> str:
        rate = f" {self.rate:g}/s offered" if self.rate else ""
        return f"{self.transport} {self.spaces}x{self.slots} {self.clients} clients{rate}"


@dataclass(frozen=True)
class Row:
    """A line of the report."""

    system: str
    durable: bool
    shape: Shape
    figures: Figures
    cpu_s_per_1000: dict[str, float] = field(default_factory=dict)  # by process
    rss_mib: dict[str, float] = field(default_factory=dict)  # by process
    others_cores: float = 0.0  # what anybody else, and the kernel for nobody in particular, used

    @property
    def valid(self) -> bool:
        """Whether every answer was right."""
        return self.figures.errors == 0 and self.figures.times.count > 0

    def as_json(self) -> dict[str, Any]:
        """As bench.json holds it."""
        times = self.figures.times
        more: dict[str, Any] = {}
        if self.figures.tokens:
            more["tokens_per_s"] = round(self.figures.tokens_per_s)
        for name, of in self.figures.extra.items():
            more[f"{name}_p50_ms"], more[f"{name}_p95_ms"] = of.p50_ms, of.p95_ms
        if self.shape.rate:
            more["offered_per_s"] = self.shape.rate
        if not self.valid:
            more["errors"] = self.figures.errors
            more["first_error"] = self.figures.first_error
        return {
            "system": self.system,
            "durable": self.durable,
            "transport": self.shape.transport,
            "spaces": self.shape.spaces,
            "slots": self.shape.slots,
            "clients": self.shape.clients,
            "rps": round(self.figures.rps, 1),
            "p50_ms": times.p50_ms,
            "p95_ms": times.p95_ms,
            "p99_ms": times.p99_ms,
            "cpu_s_per_1000": round(sum(self.cpu_s_per_1000.values()), 4),
            "rss_mib": round(sum(self.rss_mib.values()), 1),
            "others_cores": round(self.others_cores, 2),
            **more,
            "cpu_s_per_1000_by_process": {
                name: round(seconds, 4) for name, seconds in self.cpu_s_per_1000.items()
            },
            "rss_mib_by_process": self.rss_mib,
        }


def measure(
    system: str, durable: bool, shape: Shape, load: Load, processes: Mapping[str, int]
) -> Row:
    """Runs the load and reads what the system's processes spent in its measured phase."""
    readings: list[tuple[Spent, float]] = []

    def read() -> None:
        readings.append((spent(processes), machine_busy_s()))

    figures = run_load(load, measuring=read, measured=read)
    (before, busy_before), (after, busy_after) = readings
    used = after.since(before) | {"load": figures.cpu_s}
    others = max(0.0, busy_after - busy_before - sum(used.values())) / figures.seconds
    thousands = figures.times.count / 1000 or 1.0
    cost = {name: seconds / thousands for name, seconds in used.items()}
    return Row(system, durable, shape, figures, cost, memory_mib(processes), others)
