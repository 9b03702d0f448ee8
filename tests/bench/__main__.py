"""`python -m tests.bench`: the product and its peers on the same work, in the same run."""

import argparse
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from tests.bench import environment, venvs
from tests.bench.cell import Shape
from tests.bench.parts import FULL, PEERS, QUICK, Cell, Part
from tests.bench.report import forget, save, write
from tests.bench.rounds import run_rounds
from tests.bench.systems import PRODUCT, idle_shares, running_systems
from tests.bench.table import table


def main() -> int:
    """1 when an answer of the product was wrong or missing."""
    arguments = _arguments()
    environment.take_cores()
    wanted = frozenset(arguments.only) if arguments.only else None
    if arguments.clients:
        return _one_cell(arguments, wanted)
    known = QUICK if arguments.quick else FULL
    parts = [part for part in known if not arguments.part or part.name in arguments.part]
    if not arguments.report:
        if not arguments.part:
            forget(known)
        if not arguments.quick:
            _make_venvs(wanted)
        for part in parts:
            _measure(part, wanted)
    return _verdict(write(known)["results"])


def _measure(part: Part, wanted: frozenset[str] | None) -> None:
    print(f"part {part.name}", flush=True)
    facts = environment.describe()
    with running_systems(part, wanted) as systems:
        facts["idle_cpu_share"] = idle_shares(systems, part)
        rows = run_rounds(part, systems)
    save(part, rows, facts)


def _one_cell(arguments: argparse.Namespace, wanted: frozenset[str] | None) -> int:
    """One cell, for whoever works on the speed; nothing is written."""
    names = wanted or frozenset({PRODUCT})
    shape = Shape(
        arguments.transport, arguments.spaces, arguments.slots, arguments.clients, arguments.rate
    )
    peers = tuple(name for name in PEERS if name in names)
    part = Part("one", (Cell(shape, peers),), arguments.rounds, arguments.seconds)
    with running_systems(part, names) as systems:
        rows = run_rounds(part, systems)
    print(table({"wanted": [], "ratios": [], "results": rows, "cpu_s_per_1000_by_process": rows}))
    return _verdict(rows)


def _make_venvs(wanted: frozenset[str] | None) -> None:
    names = {peer().venv for name, peer in PEERS.items() if wanted is None or name in wanted}
    for name in sorted(names):
        try:
            venvs.make(name)
        except subprocess.CalledProcessError as error:
            print(f"{name} could not be installed, and is left out: {error}", file=sys.stderr)


def _verdict(rows: Sequence[dict[str, Any]]) -> int:
    return int(any(row["system"] == PRODUCT and row.get("errors") for row in rows))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few cells, at most 3 minutes")
    parser.add_argument(
        "--part", action="append", choices=[part.name for part in (*FULL, *QUICK)], help="only this"
    )
    parser.add_argument("--report", action="store_true", help="only put saved parts together")
    parser.add_argument("--only", action="append", choices=[PRODUCT, *PEERS], help="only these")
    one = parser.add_argument_group("one cell, printed and not kept")
    one.add_argument("--clients", type=int)
    one.add_argument(
        "--transport", default="http", choices=["http", "socket", "tokens", "sse", "offered"]
    )
    one.add_argument("--spaces", type=int, default=1)
    one.add_argument("--slots", type=int, default=64)
    one.add_argument("--rate", type=float, default=0.0, help="requests/s, for offered")
    one.add_argument("--seconds", type=float, default=5.0)
    one.add_argument("--rounds", type=int, default=1)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
