"""Does anything grow? `python -m tests.bench.soak --minutes 60`: steady load, and the memory of every process.

The load is half of what the product takes at most, measured first. Private memory (USS) is read every few seconds;
its trend after the warm-up is told with its interval. One stack lives through the whole run.

A page of a library counts as private while no other process uses the same file, so somebody else's start or end moves
USS by megabytes. The soak maps these files as well: what is left is what the processes wrote themselves.
"""

import argparse
import json
import mmap
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil

from tests.bench import environment
from tests.bench.cell import Shape
from tests.bench.load.figures import Figures
from tests.bench.load.process import run_load
from tests.bench.product import Product, running_product
from tests.bench.systems import ProductSystem
from tests.bench.trend import theil_sen
from tests.support.metrics import metric

REPORT = Path("build/reports/soak.json")
# Less than this is no leak that anybody would meet.
LIMIT_MIB_PER_H = 1.0
_OURS = ("gateway", "registry", "scheduler", "worker")
_MOST = Shape("http", 1, 64, clients=64)
_SHARD_S = 30.0
_MIB = 1_048_576


def main() -> int:
    """1 when something grew for certain, an answer was wrong, or something had to be repaired."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--warm-up-minutes", type=float, default=10.0)
    arguments = parser.parse_args()
    environment.take_cores()
    with running_product() as product:
        system = ProductSystem(product)
        system.prepare(_MOST)
        report = _run(product, system, arguments.minutes * 60, arguments.warm_up_minutes * 60)
    report["environment"] = environment.describe()
    REPORT.parent.mkdir(parents=True, exist_ok=True)
    REPORT.write_text(json.dumps(report, indent=1))
    print(json.dumps({name: report[name] for name in report if name != "environment"}, indent=1))
    grew = [name for name, of in report["uss"].items() if of["low_mib_per_h"] > LIMIT_MIB_PER_H]
    return 1 if grew or report["errors"] or report["repaired"] else 0


def _run(
    product: Product, system: ProductSystem, seconds: float, warm_up_s: float
) -> dict[str, Any]:
    at_most = _load(system, _MOST, 10.0).rps
    rate = at_most / 2
    repaired = metric(product.platform.metrics("scheduler"), "spaces_repaired_total")
    processes = system.processes_of(_MOST)
    libraries = [_mapped(path) for path in _libraries([processes[name] for name in _OURS])]
    readings: dict[str, list[tuple[float, float]]] = {name: [] for name in _OURS}
    requests, errors = 0, 0
    shard_s = min(_SHARD_S, max(2.0, seconds / 10))
    began = time.monotonic()
    while (passed := time.monotonic() - began) < seconds + warm_up_s:
        figures = _load(system, Shape("offered", 1, 64, clients=64, rate=rate), shard_s)
        requests += figures.times.count
        errors += figures.errors
        if passed >= warm_up_s:
            for name in _OURS:
                readings[name].append((passed / 3600, _uss_mib(processes[name])))
    took_s = time.monotonic() - began
    for library in libraries:
        library.close()
    return {
        "minutes": round(seconds / 60, 1),
        "offered_per_s": round(rate, 1),
        "requests": requests,
        "requests_per_s": round(requests / took_s, 1),
        "errors": errors,
        "repaired": metric(product.platform.metrics("scheduler"), "spaces_repaired_total")
        - repaired,
        "uss": {name: _trend(points) for name, points in readings.items()},
    }


def _load(system: ProductSystem, shape: Shape, seconds: float) -> Figures:
    load = system.load(shape, seconds, 1.0)
    assert load is not None
    return run_load(load)


def _trend(points: list[tuple[float, float]]) -> dict[str, float]:
    trend = theil_sen(points)
    return {
        "first_mib": round(points[0][1], 1),
        "last_mib": round(points[-1][1], 1),
        "mib_per_h": round(trend.slope, 2),
        "low_mib_per_h": round(trend.low, 2),
        "high_mib_per_h": round(trend.high, 2),
    }


def _uss_mib(pid: int) -> float:
    return sum(one.memory_full_info().uss for one in _family(pid)) / _MIB


def _libraries(pids: Sequence[int]) -> set[str]:
    """The files that these processes and their children have mapped."""
    maps = (maps for pid in pids for one in _family(pid) for maps in one.memory_maps())
    return {found.path for found in maps if Path(found.path).is_file()}


def _mapped(path: str) -> mmap.mmap:
    with Path(path).open("rb") as file:
        return mmap.mmap(file.fileno(), 0, mmap.MAP_SHARED | mmap.MAP_POPULATE, mmap.PROT_READ)


def _family(pid: int) -> list[psutil.Process]:
    process = psutil.Process(pid)
    return [process, *process.children(recursive=True)]


if __name__ == "__main__":
    sys.exit(main())
