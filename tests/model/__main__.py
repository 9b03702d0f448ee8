"""The model check: `python -m tests.model --schedules 100000`, in blocks that add up.

With `--sql N`, N more schedules run on the model and on a real PostgreSQL side by side. The sum is written to
build/reports/model.json. `--seed S --trace` shows one schedule.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from spaces_scheduler.request_states import EDGES
from tests.model.schedules import run
from tests.model.shards import blocks, folder, queues, run_block, smallest, total

REPORT = Path("build/reports/model.json")
STOPPED_EARLY = 3


def main() -> int:
    """Runs what is missing, sums up, and fails when a promise was broken or an arrow was never taken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--schedules", type=int, default=100_000, help="on the model alone")
    parser.add_argument("--sql", type=int, default=0, help="on the model and PostgreSQL together")
    parser.add_argument("--seed", type=int, default=1, help="the first one's seed")
    parser.add_argument("--seconds", type=float, help="begin no new block after so long")
    parser.add_argument("--trace", action="store_true", help="show the one schedule of --seed")
    arguments = parser.parse_args()
    if arguments.trace:
        return _show(arguments.seed, "sql" if arguments.sql else "pure")
    stop_at = time.monotonic() + (arguments.seconds or float("inf"))

    def in_time() -> bool:
        return time.monotonic() < stop_at

    wanted = {"pure": arguments.schedules, "sql": arguments.sql}
    paths: list[Path] = []
    complete = True
    at = folder()
    for kind, schedules in wanted.items():
        planned = [
            (at / f"{kind}-{first}-{count}.json", first, count)
            for first, count in blocks(kind, arguments.seed, schedules)
        ]
        _run(kind, [block for block in planned if not block[0].exists()], in_time)
        paths += [path for path, _, _ in planned if path.exists()]
        complete &= all(path.exists() for path, _, _ in planned)
    return _report(total(paths), complete=complete)


def _run(kind: str, missing: list[tuple[Path, int, int]], in_time: Callable[[], bool]) -> None:
    if missing and in_time():
        with queues(kind) as make_queue:
            for path, first, count in missing:
                if in_time():
                    run_block(kind, first, count, make_queue, path)


def _show(seed: int, kind: str) -> int:
    with queues(kind) as make_queue:
        history = run(seed, make_queue=make_queue, tracing=True)
        print("\n".join(history.trace))
        if history.broken is None:
            print("every promise was kept")
            return 0
        print(f"broken: {history.broken}\n\nas few steps as fail:")
        print("\n".join(smallest(seed, make_queue)))
    return 1


def _report(summary: dict[str, Any], *, complete: bool) -> int:
    REPORT.parent.mkdir(parents=True, exist_ok=True)
    REPORT.write_text(json.dumps(summary, indent=1), encoding="utf-8")
    covered = f"{summary['transitions_covered']} of {len(EDGES)} transitions"
    print(
        f"{summary['pure']} schedules on the model, {summary['sql']} on PostgreSQL beside it, "
        f"{summary['steps']} steps, {covered}, {len(summary['violations'])} violations"
    )
    for name, count in summary["transitions"].items():
        print(f"{count:>9}  {name}")
    if summary["violations"] or (complete and summary["transitions_covered"] < len(EDGES)):
        return 1
    return 0 if complete else STOPPED_EARLY


if __name__ == "__main__":
    sys.exit(main())
