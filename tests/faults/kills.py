"""kill -9 of each part of a running platform, one after the other, under load."""

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil

from tests.faults.checker import Findings, check, stalls
from tests.faults.executions import Executions
from tests.faults.history import Outcome, Report
from tests.faults.load import LoadClient, Work
from tests.support.eventually import eventually
from tests.support.platform import Platform

SPACES = ("alpha", "beta", "gamma", "delta", "epsilon")
TARGETS = ("gateway", "registry", "scheduler", "worker", "handler", "nats", "postgres")
# A lease (10 s) that ran out, and 10 s to notice it and give the work away again.
STALL_LIMIT_S = 20.0
# The last progress before a kill may be this old: the stall that follows began before the kill.
_PACE_S = 0.05
_BEFORE_S = 1.0
POLICY = {
    "when_offline": "queue",
    "max_queue": 10_000,
    "queue_timeout_s": 900,
    "run_timeout_s": 300,
    "timeout_s": 1800,
    "max_attempts": 20,
}
HANDLER = Path(__file__).parents[1] / "support/handlers/echo.py"


@dataclass(frozen=True)
class Window:
    """The time from one fault to the next."""

    fault: str
    began_at: datetime


@dataclass(frozen=True)
class Round:
    """One load with its faults."""

    findings: Findings
    reports: list[Report]
    seed: int


async def run_round(
    platform: Platform, *, seed: int, targets: Sequence[str] = TARGETS, per_space: int = 100
) -> Round:
    """`per_space` requests on each of five one-slot spaces while each target is killed once."""
    dice = random.Random(seed)
    spaces = {
        name: platform.create_space(f"{name}-{seed}", policy=POLICY)["space_id"] for name in SPACES
    }
    log = platform.folder / f"executions-{seed}"
    executions = Executions(log)
    workers = [
        platform.start_worker(
            f"{name}-{seed}",
            spaces=[f"{name}-{seed}"],
            handler=str(HANDLER),
            env={"EXECUTIONS": str(log)},
        )
        for name in SPACES
    ]
    client = LoadClient(platform.gateway_urls, platform.admin_key)
    windows: list[Window] = []
    order = list(targets)
    dice.shuffle(order)
    try:
        load = asyncio.create_task(
            client.submit_all(
                spaces, Work(per_space, {"run_s": 0.02}, patience_s=120.0, executions=executions)
            )
        )
        for number, target in enumerate(order):
            wanted = (number + 1) * per_space * len(SPACES) // (len(order) + 1)
            await _executed(executions, wanted, load)
            windows.append(Window(target, datetime.now(UTC)))
            await asyncio.to_thread(_kill_and_revive, platform, target, workers, dice)
        while not load.done():
            executions.read()
            await asyncio.wait([load], timeout=_PACE_S)
        await load
        outcomes = await client.settled(spaces, patience_s=120.0)
    finally:
        await client.close()
        for worker in workers:
            await asyncio.to_thread(platform.stop_worker, worker)
    findings = check(client.submissions, outcomes, handler_kills=order.count("handler"))
    return Round(findings, _by_fault(client, outcomes, windows, findings), seed)


async def _executed(executions: Executions, wanted: int, load: asyncio.Task[None]) -> None:
    """Returns when so many began to run, or the load ended."""
    await eventually(lambda: executions.read() >= wanted or load.done(), timeout_s=180.0)


def _kill_and_revive(
    platform: Platform, target: str, workers: Sequence[str], dice: random.Random
) -> None:
    worker = dice.choice(list(workers))
    if target == "handler":
        _kill_handler(platform.pid(worker), dice.choice)
        return
    name = worker if target == "worker" else target
    platform.kill(name)
    platform.revive(name)


def _kill_handler(agent_pid: int, choose: Callable[[list[psutil.Process]], psutil.Process]) -> None:
    children = psutil.Process(agent_pid).children(recursive=True)
    if children:
        choose(children).kill()


def _by_fault(
    client: LoadClient,
    outcomes: Sequence[Outcome],
    windows: Sequence[Window],
    findings: Findings,
) -> list[Report]:
    """One row a fault: what was sent, and what stood still, from it to the next one."""
    bounds = [window.began_at for window in windows[1:]] + [datetime.max.replace(tzinfo=UTC)]
    rows = []
    for window, end in zip(windows, bounds, strict=True):
        inside = {
            outcome.request_id
            for outcome in outcomes
            if window.began_at <= outcome.created_at < end
        }
        sent = [s for s in client.submissions if s.request_ids and s.request_ids[0] in inside]
        part = check(sent, [o for o in outcomes if o.request_id in inside])
        longest = max(
            (
                stall.seconds
                for stall in stalls(outcomes)
                if window.began_at <= stall.began_at + timedelta(seconds=_BEFORE_S) < end
            ),
            default=0.0,
        )
        rows.append(
            Report(
                fault=f"kill -9 {window.fault}",
                count=1,
                accepted=part.accepted,
                lost=len(part.lost),
                duplicated=len(part.duplicated),
                stuck=len(part.stuck),
                longest_stall_s=longest,
                fifo_violations=len(part.fifo),
            )
        )
    return rows


def merge(reports: Sequence[Report]) -> list[Report]:
    """Adds up rows of the same fault."""
    merged: dict[str, Report] = {}
    for report in reports:
        so_far = merged.get(report.fault)
        merged[report.fault] = (
            report
            if so_far is None
            else Report(
                fault=report.fault,
                count=so_far.count + report.count,
                accepted=so_far.accepted + report.accepted,
                lost=so_far.lost + report.lost,
                duplicated=so_far.duplicated + report.duplicated,
                stuck=so_far.stuck + report.stuck,
                longest_stall_s=max(so_far.longest_stall_s, report.longest_stall_s),
                fifo_violations=so_far.fifo_violations + report.fifo_violations,
            )
        )
    return list(merged.values())
