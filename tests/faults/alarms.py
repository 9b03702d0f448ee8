"""False alarms: `python -m tests.faults.alarms --minutes 30`. Nothing may be taken for dead that only pauses.

Load on several spaces while everything is stopped for moments of up to two seconds. Shards of a few minutes in
build/alarms add up; the sum is build/reports/alarms.json.
"""

import argparse
import asyncio
import json
import random
import sys
import time
from pathlib import Path
from typing import Any

import asyncpg
import httpx2

from tests.faults.executions import Executions
from tests.faults.history import Outcome
from tests.faults.load import LoadClient, Work
from tests.faults.processes import PAUSE_S, stopped
from tests.faults.rig import Rig, running_rig
from tests.faults.rounds import ECHO, POLICY

SHARDS = Path("build/alarms")
REPORT = Path("build/reports/alarms.json")
SHARD_MINUTES = 3.0
_TARGETS = ("worker", "handler", "gateway", "registry", "scheduler", "nats", "postgres")
_SPACES = ("alpha", "beta", "gamma", "delta")
_GAP_S = (0.2, 2.0)
_SETTLED_WITHIN_S = 60.0
_SUMS = (
    *("minutes", "pauses", "requests", "not_succeeded", "executions_again", "attempts_above_1"),
    *("connections_lost", "suspicions"),
)
# These must be zero; a suspicion costs nothing by itself and is told for information.
_ALARMS = ("not_succeeded", "executions_again", "attempts_above_1", "connections_lost")


async def run_shard(rig: Rig, seconds: float, seed: int) -> dict[str, Any]:
    """Load and pauses for so long; what was taken for dead meanwhile."""
    dice = random.Random(seed)
    log = rig.platform.folder / "executions"
    executions = Executions(log)
    spaces = await asyncio.to_thread(_furnish, rig, log)
    client = LoadClient(rig.platform.gateway_url, api_key=rig.platform.admin_key)
    stop = asyncio.Event()
    pauses = 0
    try:
        async with asyncio.TaskGroup() as group:
            work = Work(executions, stop, {"run_s": 0.05})
            group.create_task(client.submit_all(spaces, work))
            group.create_task(executions.follow(stop))
            until = time.monotonic() + seconds
            while time.monotonic() < until:
                await asyncio.sleep(dice.uniform(*_GAP_S))
                await stopped(rig, dice.choice(_TARGETS), dice, dice.uniform(*PAUSE_S))
                pauses += 1
            stop.set()
        outcomes = await client.settled(list(spaces.values()), _SETTLED_WITHIN_S)
    finally:
        await client.close()
    executions.read()
    return {
        "seed": seed,
        "minutes": seconds / 60,
        "pauses": pauses,
        "connections_lost": await _lost(rig),
        "suspicions": await asyncio.to_thread(_suspicions, rig),
        **verdict(outcomes, executions),
    }


def verdict(outcomes: list[Outcome], executions: Executions) -> dict[str, int]:
    """What became of the requests."""
    return {
        "requests": len(outcomes),
        "not_succeeded": sum(one.state != "succeeded" for one in outcomes),
        "executions_again": len(executions.begun) - len(executions.request_ids),
        "attempts_above_1": sum(one.attempt > 1 for one in outcomes),
    }


def _furnish(rig: Rig, log: Path) -> dict[str, str]:
    spaces = {}
    for name in _SPACES:
        spaces[name] = rig.platform.create_space(name, policy=POLICY)["space_id"]
        rig.platform.start_worker(
            f"worker-{name}", spaces=[name], handler=ECHO, env={"EXECUTIONS": str(log)}
        )
        rig.workers[f"worker-{name}"] = spaces[name]
    return spaces


async def _lost(rig: Rig) -> int:
    connection = await asyncpg.connect(rig.postgres_admin_url)
    try:
        lost: int = await connection.fetchval(
            "SELECT count(*) FROM registry.connection WHERE ended_at IS NOT NULL"
        )
    finally:
        await connection.close()
    return lost


def _suspicions(rig: Rig) -> int:
    try:
        page = rig.platform.metrics("registry")
    except httpx2.HTTPError:
        return 0
    lines = [line for line in page.splitlines() if line.startswith("spaces_suspicions_total")]
    return int(sum(float(line.rsplit(" ", 1)[1]) for line in lines))


def main() -> int:
    """Runs what is missing in shards, sums up, and fails when there was a false alarm."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0, help="how long in all")
    parser.add_argument("--shard", type=float, default=SHARD_MINUTES, help="minutes in one piece")
    parser.add_argument("--shards", type=int, default=None, help="at most so many now")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--fresh", action="store_true", help="forget earlier shards")
    arguments = parser.parse_args()
    SHARDS.mkdir(parents=True, exist_ok=True)
    for old in SHARDS.glob("*.json") if arguments.fresh else ():
        old.unlink()
    seed, left = arguments.seed, arguments.shards
    while left != 0 and (missing := arguments.minutes - sum_up(_shards())["minutes"]) > 0.01:
        path = SHARDS / f"{seed}.json"
        if not path.exists():
            with running_rig(disks=False) as rig:
                done = asyncio.run(run_shard(rig, min(missing, arguments.shard) * 60, seed))
            path.write_text(json.dumps(done), encoding="utf-8")
            print(json.dumps(done), flush=True)
            left = None if left is None else left - 1
        seed += 1
    report = sum_up(_shards())
    REPORT.parent.mkdir(parents=True, exist_ok=True)
    REPORT.write_text(json.dumps(report, indent=1), encoding="utf-8")
    print(json.dumps(report, indent=1))
    return 1 if report["false_alarms"] else 0


def sum_up(shards: list[dict[str, Any]]) -> dict[str, Any]:
    """All shards together."""
    report: dict[str, Any] = {name: sum(one[name] for one in shards) for name in _SUMS}
    report["minutes"] = round(report["minutes"], 2)
    return report | {"false_alarms": sum(report[name] for name in _ALARMS)}


def _shards() -> list[dict[str, Any]]:
    return [json.loads(path.read_text(encoding="utf-8")) for path in SHARDS.glob("*.json")]


if __name__ == "__main__":
    sys.exit(main())
