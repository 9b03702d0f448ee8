"""Submit, finish, attach, detach, refuse and cancel at the same time: nothing strands, nothing is given twice.

Each schedule is random and its seed is printed; SCHEDULES_SEED=n runs that one again.
"""

import asyncio
import itertools
import os
import random
from collections import defaultdict
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import asyncpg
import pytest

from spaces_contracts.identifiers import new_id
from spaces_scheduler.plans import ROW_BY_ROW
from tests.integration.scheduler.conftest import Tables
from tests.integration.scheduler.world import Lanes, new_request
from tests.support.servers import RunningPostgres

ACTORS = 4
STEPS = 12


@pytest.fixture
async def actors(
    postgres_server: RunningPostgres, scheduler_database: str, tables: Tables
) -> AsyncIterator[list[Lanes]]:
    """Processes that work at the same time, each with connections of its own."""
    made = []
    for _ in range(ACTORS):
        roles = [
            await asyncpg.connect(
                postgres_server.role_url(role, scheduler_database), server_settings=ROW_BY_ROW
            )
            for role in ("spaces_registry", "spaces_scheduler")
        ]
        made.append(Lanes(roles[0], roles[1], tables))
    yield made
    for lanes in made:
        await lanes.as_registry.close()
        await lanes.as_scheduler.close()


@dataclass
class Schedule:
    """What the actors of one schedule share: the spaces, and what they believe to know."""

    rng: random.Random
    space_ids: list[str]
    connections: list[tuple[str, str, str]] = field(default_factory=list)  # space, id, instance
    requests: list[tuple[str, str]] = field(default_factory=list)  # space, id
    jobs: list[tuple[str, str, str, int]] = field(default_factory=list)

    def learn(self, rows: list[asyncpg.Record]) -> None:
        """Jobs that a call claimed."""
        self.jobs += [
            (row["space_id"], row["connection_id"], row["request_id"], row["attempt"])
            for row in rows
            if row["connection_id"] is not None
        ]


async def submit(lanes: Lanes, plan: Schedule) -> None:
    requests = [
        new_request(
            plan.rng.choice(plan.space_ids),
            priority=plan.rng.choice((0, 0, 0, 5)),
            idempotency_key=plan.rng.choice((None, "a", "b")),
            body_sha256=plan.rng.choice(("x", "x", "y")),
        )
        for _ in range(plan.rng.randint(1, 4))
    ]
    plan.requests += [(request.space_id, request.request_id) for request in requests]
    plan.learn(await lanes.submit_all(*requests))


async def finish(lanes: Lanes, plan: Schedule) -> None:
    count = min(len(plan.jobs), plan.rng.randint(1, 3))
    told = [plan.jobs.pop(plan.rng.randrange(len(plan.jobs))) for _ in range(count)]
    if told:
        states = ("succeeded", "succeeded", "failed", "cancelled")
        results = [(*job, plan.rng.choice(states)) for job in told]
        plan.learn(await lanes.finish_all(*results))


async def attach(lanes: Lanes, plan: Schedule) -> None:
    space_id, connection_id = plan.rng.choice(plan.space_ids), new_id()
    mine = [c for c in plan.connections if c[0] == space_id]
    ghosts = [plan.rng.choice(mine)] if mine and plan.rng.random() < 0.5 else []
    for ghost in ghosts:
        plan.connections.remove(ghost)
    rows = await lanes.attach(
        space_id,
        connection_id,
        instance_id=new_id(),
        slots=plan.rng.randint(1, 3),
        supersedes=tuple(ghost[1] for ghost in ghosts),
    )
    plan.connections.append((space_id, connection_id, ""))
    await take(lanes, plan, [request_id for kind, request_id, _ in rows if kind == "announce"])


async def detach(lanes: Lanes, plan: Schedule) -> None:
    if plan.connections:
        gone = plan.rng.sample(plan.connections, k=min(len(plan.connections), 2))
        for connection in gone:
            plan.connections.remove(connection)
        await take(lanes, plan, await lanes.detach(*(connection[1] for connection in gone)))


async def refuse(lanes: Lanes, plan: Schedule) -> None:
    if plan.jobs:
        space_id, connection_id, request_id, attempt = plan.jobs.pop()
        await take(lanes, plan, await lanes.refuse(space_id, connection_id, request_id, attempt))


async def cancel(lanes: Lanes, plan: Schedule) -> None:
    if plan.requests:
        await lanes.cancel(*(r for _, r in plan.rng.choices(plan.requests, k=2)))


async def accept(lanes: Lanes, plan: Schedule) -> None:
    if plan.jobs:
        _, connection_id, request_id, attempt = plan.rng.choice(plan.jobs)
        await lanes.accept(connection_id, request_id, attempt)


async def repair(lanes: Lanes, plan: Schedule) -> None:
    found = await lanes.repair()
    await take(lanes, plan, [r for _, r in found if r in {own for _, own in plan.requests}])


async def resume(lanes: Lanes, plan: Schedule) -> None:
    await take(lanes, plan, await lanes.step("resume_step"))


async def take(lanes: Lanes, plan: Schedule, request_ids: list[str]) -> None:
    """Reads announced requests as the announcer does."""
    rows = await lanes.as_scheduler.fetch("SELECT * FROM scheduler.truth($1)", request_ids)
    plan.jobs += [
        (row["space_id"], row["connection_id"], row["request_id"], row["attempt"])
        for row in rows
        if row["send"]
    ]


OPERATIONS = (
    submit,
    submit,
    submit,
    finish,
    finish,
    finish,
    attach,
    detach,
    refuse,
    cancel,
    accept,
    repair,
    resume,
)


async def act(lanes: Lanes, plan: Schedule) -> None:
    for _ in range(STEPS):
        await plan.rng.choice(OPERATIONS)(lanes, plan)


async def run_schedule(actors: list[Lanes], seed: int, spaces: int) -> None:
    print(f"SCHEDULES_SEED={seed}")
    rng = random.Random(seed)
    space_ids = [await actors[0].open(max_attempts=2, max_queue=20) for _ in range(spaces)]
    plan = Schedule(rng, space_ids)
    await asyncio.gather(*(act(lanes, plan) for lanes in actors))
    for space_id in space_ids:
        await check(actors[0].tables, space_id)


async def check(tables: Tables, space_id: str) -> None:
    await nothing_strands(tables, space_id)
    await counters_are_true(tables, space_id)
    await every_end_has_one_result(tables, space_id)
    await no_slot_was_given_twice(tables, space_id)
    await first_starts_are_in_order(tables, space_id)


async def nothing_strands(tables: Tables, space_id: str) -> None:
    row = await tables.fetchrow(
        """
        SELECT l.queued, (
            SELECT coalesce(sum(c.slots - (
                SELECT count(*) FROM scheduler.assignment a
                WHERE a.connection_id = c.connection_id AND a.released_at IS NULL)), 0)
            FROM scheduler.connection c
            WHERE c.space_id = l.space_id AND c.live AND c.paused_until IS NULL) AS free
        FROM scheduler.lane l WHERE l.space_id = $1
        """,
        space_id,
    )
    assert row is not None
    assert row["queued"] == 0 or row["free"] == 0, dict(row)


async def counters_are_true(tables: Tables, space_id: str) -> None:
    row = await tables.fetchrow(
        """
        SELECT l.queued, l.running, count(*) FILTER (WHERE r.state = 'queued') AS waits,
               count(*) FILTER (WHERE r.state = 'running') AS runs, count(DISTINCT r.seq) AS seqs,
               count(r.seq) AS requests
        FROM scheduler.lane l LEFT JOIN scheduler.request r USING (space_id)
        WHERE l.space_id = $1 GROUP BY l.space_id
        """,
        space_id,
    )
    assert row is not None
    assert (row["queued"], row["running"]) == (row["waits"], row["runs"])
    assert row["seqs"] == row["requests"]
    held = await tables.fetchval(
        """
        SELECT count(*) FROM scheduler.request r WHERE r.space_id = $1 AND r.state = 'running'
        AND NOT EXISTS (SELECT 1 FROM scheduler.assignment a JOIN scheduler.connection c USING (connection_id)
            WHERE a.request_id = r.request_id AND a.attempt = r.attempt AND a.released_at IS NULL AND c.live)
        """,
        space_id,
    )
    assert held == 0, "a request runs on nothing"


async def every_end_has_one_result(tables: Tables, space_id: str) -> None:
    wrong = await tables.fetch(
        """
        SELECT r.request_id, r.state FROM scheduler.request r LEFT JOIN scheduler.result t USING (request_id)
        WHERE r.space_id = $1 AND (r.finished_at IS NULL) <> (t.request_id IS NULL)
        """,
        space_id,
    )
    assert not wrong


async def no_slot_was_given_twice(tables: Tables, space_id: str) -> None:
    rows = await tables.fetch(
        """
        SELECT c.connection_id, c.slots, a.claimed_at, a.released_at
        FROM scheduler.assignment a JOIN scheduler.connection c USING (connection_id)
        WHERE a.space_id = $1
        """,
        space_id,
    )
    moments = defaultdict(list)
    for row in rows:
        moments[row["connection_id"], row["slots"]].append((row["claimed_at"], 1))
        if row["released_at"] is not None:
            moments[row["connection_id"], row["slots"]].append((row["released_at"], -1))
    for (connection_id, slots), changes in moments.items():
        held = 0
        for _, change in sorted(changes):
            held += change
            assert held <= slots, f"{connection_id} held {held} of {slots}"


async def first_starts_are_in_order(tables: Tables, space_id: str) -> None:
    rows = await tables.fetch(
        """
        SELECT r.priority, r.seq, a.claimed_at
        FROM scheduler.request r JOIN scheduler.assignment a ON a.request_id = r.request_id AND a.attempt = 1
        WHERE r.space_id = $1 ORDER BY r.priority, r.seq
        """,
        space_id,
    )
    for before, after in itertools.pairwise(rows):
        if before["priority"] == after["priority"]:
            assert before["claimed_at"] <= after["claimed_at"]


def seeds(count: int) -> list[int]:
    """Fresh ones, or the one that is named."""
    if named := os.environ.get("SCHEDULES_SEED"):
        return [int(named)]
    first = random.SystemRandom().randrange(1_000_000_000)
    return list(range(first, first + count))


async def test_200_concurrent_schedules_on_one_lane_keep_every_promise(actors: list[Lanes]) -> None:
    for seed in seeds(200):
        await run_schedule(actors, seed, spaces=1)


async def test_arrays_over_several_lanes_never_wait_for_each_other_in_a_circle(
    actors: list[Lanes],
) -> None:
    for seed in seeds(30):
        await run_schedule(actors, seed, spaces=3)


# Where the lanes are locked. Each pair: a function, and the words that lock.
LOCKS = {
    "lock_lanes": "ORDER BY l.space_id FOR NO KEY UPDATE",
    "submit_many": "ORDER BY l.space_id FOR NO KEY UPDATE",
    "finish_many": "ORDER BY l.space_id FOR NO KEY UPDATE",
}


@pytest.fixture
async def without_lane_locks(tables: Tables) -> AsyncIterator[None]:
    """The functions as they are, but for the locks on lanes."""
    originals = []
    for function, locks in LOCKS.items():
        text = await tables.fetchval(
            "SELECT pg_get_functiondef($1::regproc)", f"scheduler.{function}"
        )
        assert locks in text, f"{function} locks lanes in other words now"
        originals.append(text)
        await tables.execute(text.replace(locks, "ORDER BY l.space_id"))
    yield
    for text in originals:
        await tables.execute(text)


async def test_without_the_locks_on_lanes_these_schedules_break_promises(
    actors: list[Lanes], without_lane_locks: None
) -> None:
    """Or the tests above would prove nothing."""
    for seed in seeds(40):
        plan = Schedule(random.Random(seed), [await actors[0].open(max_attempts=2, max_queue=20)])
        done = await asyncio.gather(*(act(lanes, plan) for lanes in actors), return_exceptions=True)
        if any(isinstance(outcome, Exception) for outcome in done):
            return
        try:
            await check(actors[0].tables, plan.space_ids[0])
        except AssertionError:
            return
    pytest.fail("no schedule noticed")
