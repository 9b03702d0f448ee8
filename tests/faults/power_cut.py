"""Power cuts under load: `python -m tests.faults.power_cut --cuts 50`.

PostgreSQL's and NATS's data lie on a disk whose power can be cut (power_disk). Under load the power is cut at a
random moment, everything on the disk is killed, the disk is mounted again and everything is started. Then every
acknowledged request must be known under its one id, every result that a client has seen must be the same, every
request must end with its own result, and what was not acknowledged exists at most once when it is sent again.

In every second group of five cuts the agents' spools lie on the disk too; in every second cut the services die with
the servers. The same cuts with `synchronous_commit=off` are the control: they must lose requests, or the instrument
proves nothing.

Each cut is a file in build/power-cut, and a run that was stopped goes on where it was. The sum is written to
build/reports/power-cut.json. Exit codes: 0 all is well, 1 a promise was broken, 2 the control lost nothing or the disk
did not behave like one, 77 this machine cannot cut power (the reason is printed).
"""

import argparse
import asyncio
import json
import random
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.faults.power_audit import Audit, Verdict
from tests.faults.power_disk import enter_namespace, why_not
from tests.faults.power_load import Load, Sent
from tests.faults.power_stack import PowerStack, environment, power_stack

MODULE = "tests.faults.power_cut"
SHARDS = Path("build/power-cut")
REPORT = Path("build/reports/power-cut.json")
CANNOT, PROVES_NOTHING = 77, 2
_GROUP = 5
_LOAD_WITHIN_S = 120.0
_LONGEST_MORE_S = 0.25
_LOOK_S = 0.002
CONTROL = {"synchronous_commit": "off"}
SUMS = ("acknowledged", "shown", "unacknowledged", "lost", "duplicated", "results_changed")
SUMS_MORE = ("stuck", "wrong")


@dataclass(frozen=True)
class Plan:
    """What decides one cut."""

    seed: int
    number: int
    acknowledged: int  # the cut comes after so many, and a little later
    control: bool = False

    @property
    def dice(self) -> random.Random:
        """The same for the same seed and number."""
        return random.Random(f"{self.seed}-{self.number}-{self.control}")

    @property
    def group(self) -> int:
        """Cuts of one group share a platform. A database that went back in time is of no use to another control."""
        return self.number if self.control else self.number // _GROUP

    @property
    def spool_on_disk(self) -> bool:
        """In every second group."""
        return self.group % 2 == 1

    @property
    def path(self) -> Path:
        """Where its outcome is kept."""
        kind = "control" if self.control else "cut"
        return SHARDS / f"{kind}-{self.seed}-{self.acknowledged}-{self.number}.json"


@dataclass
class Series:
    """Cuts on one platform, one after the other."""

    stack: PowerStack
    clients: int
    sent: list[Sent] = field(default_factory=list)  # of all cuts so far

    async def cut(self, plan: Plan) -> dict[str, Any]:
        """One cut; its row."""
        dice = plan.dice
        services_too, checkpoint = plan.number % 2 == 0, dice.random() < 0.3
        load = Load(self._url, self._key, list(self.stack.spaces.values()), dice)
        running = asyncio.create_task(load.run(self.clients))
        began = time.monotonic()
        await _reached(load, running, plan.acknowledged + dice.randrange(plan.acknowledged // 2))
        forced = asyncio.create_task(self.stack.checkpoint()) if checkpoint else None
        await asyncio.sleep(dice.random() * _LONGEST_MORE_S)
        before_cut = load.acknowledged
        await asyncio.to_thread(self.stack.cut, services_too=services_too)
        load_s = time.monotonic() - began
        load.stop()
        if forced is not None:
            await asyncio.gather(forced, return_exceptions=True)  # it may have died with the server
        if services_too:
            await running
        began = time.monotonic()
        true_cut = await asyncio.to_thread(self.stack.restore, services_too=services_too)
        restored_s = time.monotonic() - began
        await running
        verdict = await self._judge(load.sent, before_cut, plan.control)
        return verdict.row() | {
            "number": plan.number,
            "true_cut": true_cut,
            "spool_on_disk": plan.spool_on_disk,
            "services_too": services_too,
            "in_checkpoint": checkpoint,
            "load_s": round(load_s, 2),
            "restored_s": round(restored_s, 2),
            "judged_s": round(time.monotonic() - began - restored_s, 2),
            "environment": environment(await self.stack.settings()),
        }

    async def _judge(self, sent: Sequence[Sent], before_cut: int, control: bool) -> Verdict:
        audit = Audit(self._url, self._key)
        try:
            verdict = await audit.known(sent, before_cut)
            if not control:  # what a control lost may stand in the way of everything else
                await audit.settled(sent, verdict)
                self.sent += sent
                await audit.listed(self.sent, list(self.stack.spaces.values()), verdict)
        finally:
            audit.close()
        return verdict

    @property
    def _url(self) -> str:
        return self.stack.platform.gateway_url

    @property
    def _key(self) -> str:
        return self.stack.platform.admin_key


async def _reached(load: Load, running: "asyncio.Task[None]", acknowledged: int) -> None:
    until = time.monotonic() + _LOAD_WITHIN_S
    while load.acknowledged < acknowledged:
        if running.done() or time.monotonic() > until:
            refusals = [code for one in load.sent for code in one.refusals]
            raise AssertionError(
                f"only {load.acknowledged} were accepted; refusals: {refusals[:9]}"
            )
        await asyncio.sleep(_LOOK_S)


def run_group(plans: Sequence[Plan], clients: int) -> None:
    """Cuts that share a platform; each writes its file."""
    settings = CONTROL if plans[0].control else None
    with power_stack(spool_on_disk=plans[0].spool_on_disk, settings=settings) as stack:
        series = Series(stack, clients)
        for plan in plans:
            row = asyncio.run(series.cut(plan))
            plan.path.write_text(json.dumps(row, indent=1), encoding="utf-8")
            kind = "control" if plan.control else "cut"
            shown = {name: row[name] for name in (*SUMS, *SUMS_MORE)}
            times = {name: row[name] for name in ("load_s", "restored_s", "judged_s")}
            print(kind, plan.number, shown, times, flush=True)
            for text in row["words"][: 0 if plan.control else None]:
                print("  " + text, flush=True)


def groups(plans: Sequence[Plan], most: int) -> list[list[Plan]]:
    """What is still to be done, at most so many, by platform."""
    grouped: dict[int, list[Plan]] = {}
    for plan in [plan for plan in plans if not plan.path.exists()][:most]:
        grouped.setdefault(plan.group, []).append(plan)
    return list(grouped.values())


def sum_up(cuts: Sequence[Mapping[str, Any]], control: Sequence[Mapping[str, Any]]) -> int:
    """Writes the report and judges it."""
    report = {"cuts": len(cuts), **_sums(cuts, (*SUMS, *SUMS_MORE))}
    report["control"] = {"cuts": len(control), **_sums(control, SUMS)}
    report["spool_on_disk"] = sum(row["spool_on_disk"] for row in cuts)
    report["services_too"] = sum(row["services_too"] for row in cuts)
    report["in_checkpoint"] = sum(row["in_checkpoint"] for row in cuts)
    report["longest_restore_s"] = max((row["restored_s"] for row in cuts), default=0.0)
    report["environment"] = (cuts or control)[0]["environment"] if cuts or control else {}
    REPORT.parent.mkdir(parents=True, exist_ok=True)
    REPORT.write_text(json.dumps(report, indent=1), encoding="utf-8")
    print(json.dumps({name: report[name] for name in report if name != "environment"}))
    if not all(row["true_cut"] for row in (*cuts, *control)):
        print("The disk kept what was never flushed: the instrument proves nothing.")
        return PROVES_NOTHING
    if control and not report["control"]["lost"]:
        print("The control run lost nothing: the instrument proves nothing.")
        return PROVES_NOTHING
    broken = ("lost", "duplicated", "results_changed", *SUMS_MORE)
    return 1 if any(report[name] for name in broken) else 0


def _sums(rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> dict[str, Any]:
    return {name: sum(row[name] for row in rows) for name in names}


def main(arguments: Sequence[str]) -> int:
    """Cuts what is missing, sums up."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--cuts", type=int, default=50, help="how many in all")
    parser.add_argument(
        "--control", type=int, default=3, help="how many with the control's setting"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--acknowledged", type=int, default=1000, help="at least, before each cut")
    parser.add_argument("--clients", type=int, default=48, help="connections that submit")
    parser.add_argument("--most", type=int, default=1_000_000, help="cuts in this call; more later")
    parser.add_argument("--fresh", action="store_true", help="forget earlier cuts")
    given = parser.parse_args(arguments)
    if (reason := why_not()) is not None:
        print(f"power cuts skipped: {reason}")
        return CANNOT
    enter_namespace(MODULE, arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    SHARDS.mkdir(parents=True, exist_ok=True)
    for old in SHARDS.glob("*.json") if given.fresh else ():
        old.unlink()
    both = [
        [Plan(given.seed, number, given.acknowledged, control) for number in range(count)]
        for control, count in ((True, given.control), (False, given.cuts))
    ]
    left = given.most
    for plans in both:
        for group in groups(plans, left):
            run_group(group, given.clients)
            left -= len(group)
    control, cuts = [
        [json.loads(plan.path.read_text()) for plan in plans if plan.path.exists()]
        for plans in both
    ]
    return sum_up(cuts, control)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
