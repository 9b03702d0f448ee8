"""The large campaign: `python -m tests.faults.campaign --faults 1000`, in rounds that add up.

Each round is a file in build/faults; a campaign that was stopped goes on where it was. The sum is written to
build/reports/faults.json: a row per kind of fault, and one for each kind that this machine does not allow.
"""

import argparse
import asyncio
import dataclasses
import json
import random
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.faults.catalogue import KINDS
from tests.faults.history import Report
from tests.faults.kinds import Kind, select, sequence
from tests.faults.rig import running_rig
from tests.faults.rounds import Round, run_round

ROUNDS = Path("build/faults")
REPORT = Path("build/reports/faults.json")
PER_ROUND = 25


def main() -> int:
    """Runs what is missing, sums up, and fails when a promise was broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faults", type=int, default=1000, help="how many in all")
    parser.add_argument("--seed", type=int, default=1, help="the first round's seed")
    parser.add_argument("--kinds", default="", help="names or families, separated by commas")
    parser.add_argument("--rounds", type=int, default=None, help="at most so many now")
    parser.add_argument("--fresh", action="store_true", help="forget earlier rounds")
    arguments = parser.parse_args()
    ROUNDS.mkdir(parents=True, exist_ok=True)
    for old in ROUNDS.glob("*.json") if arguments.fresh else ():
        old.unlink()
    kinds = select(KINDS, [name for name in arguments.kinds.split(",") if name])
    seed, left = arguments.seed, arguments.rounds
    while left != 0 and (count := arguments.faults - _inflicted()) > 0:
        path = ROUNDS / f"{seed}.json"
        if not path.exists():
            _run_one(kinds, min(count, PER_ROUND), seed, path)
            left = None if left is None else left - 1
        seed += 1
    return sum_up([_read(path) for path in sorted(ROUNDS.glob("*.json"))])


def _run_one(kinds: Sequence[Kind], count: int, seed: int, path: Path) -> None:
    with running_rig() as rig:
        able = [kind for kind in kinds if kind.needs not in rig.missing]
        skipped = [kind for kind in kinds if kind.needs in rig.missing]
        chosen = sequence(able, count, random.Random(seed))
        done = asyncio.run(run_round(rig, chosen, seed))
        skips = [_skipped(kind, rig.missing[kind.needs or ""]) for kind in skipped]
        if done.findings.violations():
            _keep_logs(rig.platform.folder / "logs", path.with_suffix(""))
    path.write_text(json.dumps(_shard(done, skips), indent=1), encoding="utf-8")
    print(
        f"seed {seed}: {len(done.windows)} faults, {done.findings.accepted} accepted,"
        f" longest stall {done.findings.longest_stall_s:.1f} s"
        f" ({done.findings.longest_outage_s:.1f} s with its fault),"
        f" {done.findings.duplicate_executions} executions again,"
        f" {done.findings.streams_read} streams with {done.findings.resumes} resumes,"
        f" {done.findings.unrecovered} of them told as a whole,"
        f" {len(done.findings.violations())} violations",
        flush=True,
    )


def _shard(done: Round, skipped: Sequence[Report]) -> dict[str, Any]:
    return {
        "seed": done.seed,
        "violations": done.findings.violations(),
        "streams": done.findings.streams_read,
        "resumes": done.findings.resumes,
        "unrecovered": done.findings.unrecovered,
        "windows": [dataclasses.asdict(window) for window in done.windows],
        "reports": [dataclasses.asdict(report) for report in (*done.reports, *skipped)],
    }


def _skipped(kind: Kind, why: str) -> Report:
    return Report(kind.name, 0, 0, 0, 0, 0, 0.0, skipped=why)


def _keep_logs(logs: Path, folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    for log in logs.iterdir():
        (folder / log.name).write_bytes(log.read_bytes())


def _read(path: Path) -> dict[str, Any]:
    shard: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return shard


def _inflicted() -> int:
    return sum(len(_read(path)["windows"]) for path in ROUNDS.glob("*.json"))


def sum_up(shards: Sequence[dict[str, Any]]) -> int:
    """Writes and prints the report; 1 when a round had a violation."""
    reports = merge([Report(**row) for shard in shards for row in shard["reports"]])
    write_report(reports)
    violations = [
        f"seed {shard['seed']}: {text}" for shard in shards for text in shard["violations"]
    ]
    for text in violations[:50]:
        print(text)
    return 1 if violations else 0


def merge(reports: Sequence[Report]) -> list[Report]:
    """Adds up rows of the same fault, in the order of their names."""
    merged: dict[str, Report] = {}
    for report in reports:
        so_far = merged.get(report.fault)
        merged[report.fault] = report if so_far is None else _added(so_far, report)
    return [merged[name] for name in sorted(merged)]


def _added(one: Report, other: Report) -> Report:
    sums = {
        name: getattr(one, name) + getattr(other, name)
        for name in (
            *("count", "accepted", "lost", "duplicated", "stuck"),
            *("fifo_violations", "duplicate_executions"),
        )
    }
    return Report(
        fault=one.fault,
        longest_stall_s=max(one.longest_stall_s, other.longest_stall_s),
        longest_outage_s=max(one.longest_outage_s, other.longest_outage_s),
        skipped=one.skipped if not sums["count"] else None,
        **sums,
    )


def write_report(reports: Sequence[Report]) -> None:
    """Prints the table and writes build/reports/faults.json."""
    REPORT.parent.mkdir(parents=True, exist_ok=True)
    REPORT.write_text(json.dumps([report.row() for report in reports], indent=1), encoding="utf-8")
    head = ("count", "accepted", "lost", "dupl", "stuck", "fifo", "again", "stall s", "with it")
    print(f"{'fault':<36}" + "".join(f"{name:>9}" for name in head))
    for one in reports:
        if one.skipped:
            print(f"{one.fault:<36} skipped: {one.skipped}")
            continue
        counts = (one.count, one.accepted, one.lost, one.duplicated, one.stuck)
        rest = (one.fifo_violations, one.duplicate_executions)
        cells = "".join(f"{value:>9}" for value in (*counts, *rest))
        print(f"{one.fault:<36}{cells}{one.longest_stall_s:>9.1f}{one.longest_outage_s:>9.1f}")
    done = [one for one in reports if not one.skipped]
    print(
        f"{sum(one.count for one in done)} faults of {len(done)} kinds,"
        f" {len(reports) - len(done)} kinds skipped, {sum(one.lost for one in done)} lost,"
        f" {sum(one.duplicated for one in done)} duplicated, {sum(one.stuck for one in done)} stuck"
    )


if __name__ == "__main__":
    sys.exit(main())
