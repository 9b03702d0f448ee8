"""The real SQL functions do what the model says, step by step; and the comparison finds planted bugs."""

from collections.abc import Callable, Iterator
from itertools import islice

import pytest

from tests.model.bugs import FenceIgnoresTheAttempt, FinishChangesAnEnd
from tests.model.schedules import run
from tests.model.sql_queue import Database, SqlQueue
from tests.model.upkeep import WholeQueue
from tests.model.world import MakeQueue
from tests.support.servers import RunningPostgres

SCHEDULES = 100
FOUND_WITHIN = 10  # schedules that meet what the bug is about
LOOKED_AT = 20_000

# Function, what it says, what it is made to say.
BUGS = {
    "the fence ignores the attempt": (
        "finish_many",
        "a.released_at IS NULL AND r.state = 'running' AND r.attempt = e.attempt AS runs",
        "r.state = 'running' AS runs",
    ),
    "a result changes an end": ("finish_many", "r.state = 'running' AND", ""),
    "a result keeps its slot": ("finish_many", "SET released_at = v_now", "SET released_at = NULL"),
    "a lost worker keeps its slots": (
        "lose",
        "SET released_at = scheduler.deadline_clock()",
        "SET released_at = NULL",
    ),
    "a refusal costs a try": ("requeue", "r.tries - (NOT p_costs_try)::int", "r.tries"),
    "an attach ends nobody": (
        "attach",
        "SET live = false, ended_at = clock_timestamp()",
        "SET live = true",
    ),
    "first come, first served, whatever the priority": (
        "claim_jobs",
        "ORDER BY r.priority DESC, r.seq LIMIT slot.n",
        "ORDER BY r.seq LIMIT slot.n",
    ),
    "slots that are taken count as free": (
        "claim_jobs",
        "c.slots - held.n AS free",
        "c.slots AS free",
    ),
}


def _breaks(bug: type[WholeQueue]) -> Callable[[int], bool]:
    """Schedules that show the same bug in the model: it runs hundreds of times as fast."""
    return lambda seed: run(seed, make_queue=bug).broken is not None


def _refuses(seed: int) -> bool:
    return any(mover == "refuse" for _, _, mover in run(seed).edges)


MEETS: dict[str, Callable[[int], bool]] = {
    "the fence ignores the attempt": _breaks(FenceIgnoresTheAttempt),
    "a result changes an end": _breaks(FinishChangesAnEnd),
    "a refusal costs a try": _refuses,
}


@pytest.fixture
def real(postgres_server: RunningPostgres, database: str) -> Iterator[Database]:
    """A database of its own, because bugs are planted in it."""
    real = Database(postgres_server.role_url("spaces_migrator", database))
    yield real
    real.close()


@pytest.fixture
def both(real: Database) -> MakeQueue:
    """The model and the database side by side."""
    return lambda clock: SqlQueue(real, clock)


def test_the_database_is_always_where_the_model_is(both: MakeQueue) -> None:
    broken = {seed: run(seed, make_queue=both).broken for seed in range(SCHEDULES)}
    assert {seed: what for seed, what in broken.items() if what} == {}


@pytest.mark.parametrize("bug", BUGS)
def test_a_bug_that_is_planted_in_a_function_is_found(
    real: Database, both: MakeQueue, bug: str
) -> None:
    real.replace_in(*BUGS[bug])
    fit = filter(MEETS.get(bug, lambda seed: True), range(LOOKED_AT))
    assert any(run(seed, make_queue=both).broken for seed in islice(fit, FOUND_WITHIN))
