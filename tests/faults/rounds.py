"""One round: a platform under load, faults of all kinds one after the other, progress between them, and the verdict."""

import asyncio
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from tests.faults.checker import Evidence, Findings, check
from tests.faults.executions import Executions
from tests.faults.history import Outcome, Ownership, Report, Submission, Window
from tests.faults.kinds import Kind
from tests.faults.load import LoadClient, Work
from tests.faults.progress import stalls, without_faults_s
from tests.faults.readers import Readers
from tests.faults.rig import Rig
from tests.support.eventually import eventually

ECHO, COUNT = (f"{Path(__file__).with_name('work.py')}:{name}" for name in ("echo", "count"))
ONE_SLOT = ("alpha", "beta", "gamma")
REMOTE = "remote"  # its worker lives in a network namespace, where there can be one
STREAM = "stream"
_STREAMS = 2
_RUN_S = 0.08
POLICY = {
    "when_offline": "queue",
    "max_queue": 10_000,
    "queue_timeout_s": 900,
    "run_timeout_s": 300,
    "timeout_s": 1800,
    "max_attempts": 50,
}
# Longer than any stall that is allowed; then the round ends early and the checker says why.
_PROGRESS_WITHIN_S = 60.0
_SETTLED_WITHIN_S = 120.0
_OWNERS = """
    SELECT a.request_id, a.attempt, r.space_id, c.reason
      FROM scheduler.assignment a JOIN scheduler.request r USING (request_id)
      LEFT JOIN registry.connection c USING (connection_id)
"""


@dataclass(frozen=True)
class Round:
    """What came of it."""

    seed: int
    findings: Findings
    reports: list[Report]
    windows: list[Window]


class _Run:
    def __init__(self, rig: Rig, seed: int) -> None:
        self.rig = rig
        self.seed = seed
        self.dice = random.Random(seed)
        self.log = rig.platform.folder / "executions"
        self.executions = Executions(self.log)
        self.client = LoadClient(rig.client_url(), api_key=rig.platform.admin_key)
        self.spaces: dict[str, str] = {}
        self.stream_id = ""
        self.windows: list[Window] = []
        self.stop = asyncio.Event()

    def furnish(self) -> None:
        """Spaces and workers: one worker a space, each over a link of its own."""
        platform = self.rig.platform
        names = [*ONE_SLOT, REMOTE] if self.rig.namespace else list(ONE_SLOT)
        for name in (*names, STREAM):
            space_id = platform.create_space(name, policy=POLICY)["space_id"]
            worker = f"worker-{name}"
            inside = self.rig.namespace if name == REMOTE else None
            host = inside.address if inside else "127.0.0.1"
            platform.start_worker(
                worker,
                spaces=[name],
                handler=COUNT if name == STREAM else ECHO,
                slots=_STREAMS if name == STREAM else 1,
                gateway_url=self.rig.worker_link(worker, host=host),
                prefix=inside.prefix if inside else (),
                env={"EXECUTIONS": str(self.log), **self.rig.worker_environ(worker)},
            )
            self.rig.workers[worker] = space_id
            self.spaces[name] = space_id
        self.stream_id = self.spaces[STREAM]

    async def inflict(self, kinds: Sequence[Kind]) -> None:
        """One fault after the other, each after every space went on."""
        for kind in kinds:
            if not await self._went_on():
                return
            began_s = time.monotonic()
            await kind.inflict(self.rig, self.dice)
            self.windows.append(Window(kind.name, began_s, time.monotonic()))
        await self._went_on()

    async def _went_on(self) -> bool:
        """Whether something began in each space from now on, before patience ends."""
        since = self.executions.read()

        def everywhere() -> bool:
            self.executions.read()
            space_of = {r: s.space for s in self.client.submissions for r in s.request_ids[:1]}
            began = {space_of.get(one.request_id) for one in self.executions.begun[since:]}
            return set(self.spaces.values()) <= began

        try:
            await eventually(everywhere, timeout_s=_PROGRESS_WITHIN_S)
        except AssertionError:
            return False
        return True

    async def owners(self) -> list[Ownership]:
        """Who had which attempt last, from the database: the API does not tell of ended connections."""
        connection = await asyncpg.connect(self.rig.postgres_admin_url)
        try:
            rows = await connection.fetch(_OWNERS)
        finally:
            await connection.close()
        return [Ownership(*row) for row in rows]


async def run_round(rig: Rig, kinds: Sequence[Kind], seed: int) -> Round:
    """Load on all spaces while the faults of the sequence come; the same seed makes the same faults."""
    run = _Run(rig, seed)
    await asyncio.to_thread(run.furnish)
    plain = {name: sid for name, sid in run.spaces.items() if name != STREAM}
    work = Work(run.executions, run.stop, {"run_s": _RUN_S})
    readers = Readers(rig.client_url(), rig.platform.admin_key, run.client, run.stream_id, seed)
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(run.client.submit_all(plain, work))
            group.create_task(readers.run(_STREAMS, run.stop))
            group.create_task(run.executions.follow(run.stop))
            try:
                await run.inflict(kinds)
            finally:
                run.stop.set()
        outcomes = await run.client.settled(list(run.spaces.values()), _SETTLED_WITHIN_S)
    finally:
        await run.client.close()
    run.executions.read()
    evidence = Evidence(
        submissions=run.client.submissions,
        outcomes=outcomes,
        executions=run.executions.begun,
        ended_s=run.executions.ended_s,
        owners=await run.owners(),
        readings=readers.readings,
        windows=run.windows,
        inflicted=rig.inflicted,
        parallel=frozenset({run.stream_id}),
    )
    return Round(seed, check(evidence), by_fault(evidence), run.windows)


def by_fault(evidence: Evidence) -> list[Report]:
    """One row a fault: what was sent, what stood still and what ran again, from it to the next one."""
    told = {outcome.request_id: outcome for outcome in evidence.outcomes}
    all_stalls = stalls(evidence.submissions, evidence.executions, evidence.ended_s)
    again = _again_s(evidence)
    ends = [window.began_s for window in evidence.windows[1:]] + [float("inf")]
    rows = []
    for window, end_s in zip(evidence.windows, ends, strict=True):
        sent = [s for s in evidence.submissions if window.began_s <= s.sent_at < end_s]
        part = _judged_alone(evidence, sent, told)
        ended = [
            stall for stall in all_stalls if window.began_s <= stall.began_s + stall.seconds < end_s
        ]
        rows.append(
            Report(
                fault=window.fault,
                count=1,
                accepted=part.accepted,
                lost=len(part.lost),
                duplicated=len(part.duplicated),
                stuck=len(part.stuck),
                longest_stall_s=max(
                    (without_faults_s(stall, evidence.windows) for stall in ended), default=0.0
                ),
                longest_outage_s=max((stall.seconds for stall in ended), default=0.0),
                fifo_violations=len(part.fifo),
                duplicate_executions=sum(window.began_s <= s < end_s for s in again),
            )
        )
    return rows


def _judged_alone(
    evidence: Evidence, sent: Sequence[Submission], told: dict[str, Outcome]
) -> Findings:
    ids = {request_id for submission in sent for request_id in submission.request_ids}
    return check(
        Evidence(
            submissions=sent,
            outcomes=[told[request_id] for request_id in sorted(ids) if request_id in told],
            executions=[one for one in evidence.executions if one.request_id in ids],
            readings=[one for one in evidence.readings if one.request_id in ids],
            inflicted=evidence.inflicted,
            parallel=evidence.parallel,
        )
    )


def _again_s(evidence: Evidence) -> list[float]:
    """When executions beyond the first of a request began."""
    seen: set[str] = set()
    again = []
    for execution in sorted(evidence.executions, key=lambda one: one.began_s):
        if execution.request_id in seen:
            again.append(execution.began_s)
        seen.add(execution.request_id)
    return again
