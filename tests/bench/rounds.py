"""Measures a part in rounds over its systems, so that a slow phase of the machine meets all of them."""

from collections.abc import Sequence
from statistics import median
from typing import Any

from tests.bench.cell import Row, Shape, measure
from tests.bench.parts import Part
from tests.bench.systems import PRODUCT, System
from tests.bench.table import DISTURBED

# What tells one line of the report from another.
KEY = ("system", "durable", "transport", "spaces", "slots", "clients")
# Kept of each round, so that ratios can be taken within one.
_PER_ROUND = (
    "rps", "p50_ms", "p95_ms", "p99_ms", "cpu_s_per_1000", "tokens_per_s", "first_token_p95_ms",
    "dispatch_p95_ms", "others_cores",
)  # fmt: skip


def run_rounds(part: Part, systems: Sequence[System]) -> list[dict[str, Any]]:
    """One row a system and shape: the median of its rounds."""
    rows: dict[tuple[str, Shape], list[Row]] = {}
    for number in range(part.rounds):
        for cell in part.cells:
            present = [one for one in systems if one.name in (PRODUCT, *cell.peers)]
            # Nobody always runs right after the same neighbour.
            for system in present[number % len(present) :] + present[: number % len(present)]:
                load = system.load(cell.shape, part.seconds, part.warm_s)
                if load is None:
                    continue  # the same peer, started for another shape
                processes = system.processes_of(cell.shape)
                row = measure(system.name, system.durable, cell.shape, load, processes)
                rows.setdefault((system.name, cell.shape), []).append(row)
                _show(number, row)
    return [combined([row.as_json() for row in measured]) for measured in rows.values()]


def combined(rounds: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The median of every figure; errors add up; the rounds' own main figures are kept.

    Rounds in which others used the machine count only when there is no better one.
    """
    result: dict[str, Any] = {}
    calm = [row for row in rounds if row.get("others_cores", 0.0) < DISTURBED] or rounds
    for name in dict.fromkeys(name for row in rounds for name in row):
        counted = rounds if name in ("errors", "first_error") else calm
        values = [row[name] for row in counted if name in row]
        if not values:
            continue
        if name in KEY or isinstance(values[0], str):
            result[name] = values[0]
        elif isinstance(values[0], dict):
            keys = dict.fromkeys(key for value in values for key in value)
            result[name] = {
                key: round(median(value.get(key, 0.0) for value in values), 4) for key in keys
            }
        elif name == "errors":
            result[name] = sum(values)
        else:
            result[name] = round(median(values), 4)
    result["rounds"] = [
        {name: row[name] for name in _PER_ROUND if name in row and "errors" not in row}
        for row in rounds
    ]
    return result


def _show(number: int, row: Row) -> None:
    times = row.figures.times
    broken = "" if row.valid else f"  {row.figures.errors} ERRORS {row.figures.first_error[:100]}"
    disturbed = (
        "" if row.others_cores < DISTURBED else f"  others used {row.others_cores:.2f} cores"
    )
    print(
        f"  round {number + 1}  {row.shape!s:<40} {row.system:<30} {row.figures.rps:>9.1f}/s"
        f"  p50 {times.p50_ms:.2f}  p99 {times.p99_ms:.2f} ms{disturbed}{broken}",
        flush=True,
    )
