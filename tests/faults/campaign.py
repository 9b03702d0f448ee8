"""The large campaign: `python -m tests.faults.campaign --kills 300`, in rounds that add up.

Each round is a file in build/faults; a campaign that was stopped goes on where it was. The sum is
written to build/reports/faults.json.
"""

import argparse
import asyncio
import dataclasses
import json
import sys
from pathlib import Path

from tests.faults.history import Report
from tests.faults.kills import STALL_LIMIT_S, TARGETS, merge, run_round
from tests.support.platform import running_platform

ROUNDS = Path("build/faults")
REPORT = Path("build/reports/faults.json")


def main() -> int:
    """Runs what is missing, sums up, and fails when a promise was broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=300, help="how many in all")
    parser.add_argument("--seed", type=int, default=1, help="the first round's seed")
    parser.add_argument("--per-space", type=int, default=100, help="requests in each of 5 spaces")
    parser.add_argument("--fresh", action="store_true", help="forget earlier rounds")
    arguments = parser.parse_args()
    ROUNDS.mkdir(parents=True, exist_ok=True)
    if arguments.fresh:
        for old in ROUNDS.glob("*.json"):
            old.unlink()
    rounds = -(-arguments.kills // len(TARGETS))
    for seed in range(arguments.seed, arguments.seed + rounds):
        path = ROUNDS / f"{seed}-{arguments.per_space}.json"
        if not path.exists():
            _run_one(seed, arguments.per_space, path)
    return _sum_up()


def _run_one(seed: int, per_space: int, path: Path) -> None:
    with running_platform() as platform:
        done = asyncio.run(run_round(platform, seed=seed, per_space=per_space))
    path.write_text(
        json.dumps(
            {
                "seed": seed,
                "violations": done.findings.violations(),
                "reports": [dataclasses.asdict(report) for report in done.reports],
            },
            indent=1,
        ),
        encoding="utf-8",
    )
    stall_s = done.findings.longest_stall_s
    print(
        f"seed {seed}: {done.findings.accepted} accepted, longest stall {stall_s:.1f} s, "
        f"{len(done.findings.violations())} violations",
        flush=True,
    )


def _sum_up() -> int:
    rounds = [json.loads(path.read_text(encoding="utf-8")) for path in ROUNDS.glob("*.json")]
    reports = merge([Report(**row) for each in rounds for row in each["reports"]])
    write_report(reports)
    violations = [text for each in rounds for text in each["violations"]]
    for text in violations[:50]:
        print(text)
    late = [report for report in reports if report.longest_stall_s > STALL_LIMIT_S]
    return 1 if violations or late else 0


def write_report(reports: list[Report]) -> None:
    """Prints the table and writes build/reports/faults.json."""
    REPORT.parent.mkdir(parents=True, exist_ok=True)
    REPORT.write_text(json.dumps([report.row() for report in reports], indent=1), encoding="utf-8")
    print(
        f"{'fault':<22}{'count':>6}{'accepted':>10}{'lost':>6}{'dupl':>6}{'stuck':>6}{'stall s':>9}"
    )
    for report in reports:
        print(
            f"{report.fault:<22}{report.count:>6}{report.accepted:>10}{report.lost:>6}"
            f"{report.duplicated:>6}{report.stuck:>6}{report.longest_stall_s:>9.1f}"
        )


if __name__ == "__main__":
    sys.exit(main())
