"""The SQL against the table of request_states: every arrow is there, and no other."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import asyncpg
import pytest

from spaces_contracts.identifiers import new_id
from spaces_contracts.problems import Code
from spaces_contracts.requests import RequestState
from spaces_scheduler.request_states import (
    EDGES,
    Edge,
    Ending,
    Mover,
    may_move,
    when_due,
    when_lost,
    when_refused,
    when_told,
)
from tests.integration.scheduler.world import Lanes

QUEUED, RUNNING = RequestState.QUEUED, RequestState.RUNNING


@dataclass
class Case:
    """One request, in some state, and the worker that has or had it."""

    lanes: Lanes
    space_id: str
    instance_id: str = field(default_factory=new_id)
    connection_id: str = field(default_factory=new_id)
    request_id: str = ""
    cancels: bool = False

    async def attach(self, **more: Any) -> list[tuple[str, str, int | None]]:
        return await self.lanes.attach(
            self.space_id, self.connection_id, instance_id=self.instance_id, **more
        )

    async def finish(self, state: str, attempt: int = 1) -> str:
        return await self.lanes.finish(
            self.space_id, self.connection_id, self.request_id, attempt, state
        )

    async def state(self) -> RequestState:
        return RequestState(await self.lanes.state(self.request_id))


async def arrive(
    lanes: Lanes, state: RequestState, *, cancels: bool = False, **policy: Any
) -> Case:
    """A request that is in that state by lawful ways. Waiting, it was tried once and lost its worker."""
    case = Case(lanes, await lanes.open(**policy), cancels=cancels)
    await case.attach()
    case.request_id = await lanes.submit(case.space_id)
    if cancels:
        await lanes.cancel(case.request_id)
    if state is QUEUED:
        await lanes.detach(case.connection_id)
        case.connection_id = new_id()
    elif state is RequestState.EXPIRED:
        await lanes.forward(200)
        await lanes.step("expire_step")
    elif state is RequestState.CANCELLED and not cancels:
        await lanes.cancel(case.request_id)
        await case.finish("cancelled")
    elif state is not RUNNING:
        await case.finish(state.value)
    assert await case.state() is state
    return case


async def _claim(case: Case) -> None:
    case.instance_id = new_id()
    await case.lanes.attach(case.space_id, new_id(), instance_id=case.instance_id)


async def _adopt(case: Case) -> None:
    case.connection_id = new_id()
    await case.attach(in_flight=((case.request_id, 1),))


async def _finish(case: Case) -> None:
    told = "cancelled" if case.cancels else "succeeded"
    await case.finish(told)


async def _refuse(case: Case) -> None:
    await case.lanes.refuse(case.space_id, case.connection_id, case.request_id)


async def _lose(case: Case) -> None:
    await case.lanes.detach(case.connection_id)


async def _cancel(case: Case) -> None:
    await case.lanes.cancel(case.request_id)


async def _force(case: Case) -> None:
    await case.lanes.forward(6)
    await case.lanes.step("force_cancel_step")


async def _expire(case: Case) -> None:
    await case.lanes.forward(1000)
    await case.lanes.step("expire_step")


async def _shut(case: Case) -> None:
    await case.lanes.open(case.space_id, enabled=False)
    await case.lanes.step("mass_change_step")


MOVES: dict[Mover, Callable[[Case], Awaitable[None]]] = {
    Mover.CLAIM: _claim,
    Mover.ADOPT: _adopt,
    Mover.FINISH: _finish,
    Mover.REFUSE: _refuse,
    Mover.LOSE: _lose,
    Mover.CANCEL: _cancel,
    Mover.FORCE: _force,
    Mover.EXPIRE: _expire,
    Mover.SHUT: _shut,
}
# A request that waits was given back to the queue by losing its worker; a cancel then ends it instead.
STATES = [(s, c) for s, c in product(RequestState, (False, True)) if not (s is QUEUED and c)]


@pytest.mark.parametrize("mover", MOVES)
async def test_a_mover_takes_a_request_only_along_its_arrows(lanes: Lanes, mover: Mover) -> None:
    for source, cancels in STATES:
        case = await arrive(lanes, source, cancels=cancels)
        await MOVES[mover](case)
        target = await case.state()
        assert target is source or may_move(source, target, mover), f"{source} -> {target}"
        assert await counters_are_true(lanes, case.space_id)


TAKEN: dict[tuple[RequestState | None, RequestState, Mover], dict[str, Any]] = {
    (QUEUED, RUNNING, Mover.CLAIM): {},
    (QUEUED, RUNNING, Mover.ADOPT): {},
    (QUEUED, RequestState.CANCELLED, Mover.CANCEL): {},
    (QUEUED, RequestState.CANCELLED, Mover.SHUT): {},
    (QUEUED, RequestState.EXPIRED, Mover.EXPIRE): {},
    (RUNNING, RequestState.SUCCEEDED, Mover.FINISH): {},
    (RUNNING, RequestState.CANCELLED, Mover.FINISH): {"cancels": True},
    (RUNNING, QUEUED, Mover.REFUSE): {},
    (RUNNING, RequestState.CANCELLED, Mover.REFUSE): {"cancels": True},
    (RUNNING, QUEUED, Mover.LOSE): {},
    (RUNNING, RequestState.FAILED, Mover.LOSE): {"max_attempts": 1},
    (RUNNING, RequestState.CANCELLED, Mover.LOSE): {"cancels": True},
    (RUNNING, RequestState.CANCELLED, Mover.FORCE): {"cancels": True},
    (RUNNING, RequestState.EXPIRED, Mover.EXPIRE): {},
}


@pytest.mark.parametrize(
    "edge", [e for e in EDGES if e.by is not Mover.SUBMIT], ids=lambda e: f"{e.by}:{e.target}"
)
async def test_every_arrow_of_the_table_is_taken(lanes: Lanes, edge: Edge) -> None:
    assert edge.source is not None
    if edge == Edge(RUNNING, RequestState.FAILED, Mover.FINISH, edge.guard):
        case = await arrive(lanes, RUNNING)
        await case.finish("failed")
    else:
        setting = TAKEN[edge.source, edge.target, edge.by]
        case = await arrive(lanes, edge.source, **setting)
        await MOVES[edge.by](case)
    assert await case.state() is edge.target
    assert await counters_are_true(lanes, case.space_id)


async def test_a_life_begins_in_the_queue(lanes: Lanes) -> None:
    space_id = await lanes.open()
    assert await lanes.state(await lanes.submit(space_id)) == QUEUED


@pytest.mark.parametrize("cancels", [False, True])
@pytest.mark.parametrize("tries", [1, 2])
@pytest.mark.parametrize("retry", [False, True])
async def test_the_loss_of_a_worker_ends_as_the_table_says(
    lanes: Lanes, cancels: bool, tries: int, retry: bool
) -> None:
    case = Case(lanes, await lanes.open(max_attempts=2))
    await case.attach()
    case.request_id = await lanes.submit(case.space_id)
    for _ in range(tries - 1):
        await lanes.detach(case.connection_id)
        case.connection_id = new_id()
        await case.attach()
    await lanes.open(case.space_id, max_attempts=2, retry_after_start=retry)
    if cancels:
        await lanes.cancel(case.request_id)

    announced = await lanes.detach(case.connection_id)

    expected = when_lost(
        cancel_requested=cancels, tries=tries, max_attempts=2, retry_after_start=retry
    )
    await ended_as(case, expected)
    assert announced == ([case.request_id] if expected.state.terminal else [])


@pytest.mark.parametrize("cancels", [False, True])
async def test_a_refusal_ends_as_the_table_says_and_costs_no_try(
    lanes: Lanes, cancels: bool
) -> None:
    case = await arrive(lanes, RUNNING, cancels=cancels)
    await _refuse(case)
    expected = when_refused(cancel_requested=cancels)
    await ended_as(case, expected)
    if expected.state is QUEUED:
        assert (await lanes.request(case.request_id))["tries"] == 0


@pytest.mark.parametrize("state", [QUEUED, RUNNING])
@pytest.mark.parametrize("total", [False, True])
async def test_what_expires_says_which_time_was_over(
    lanes: Lanes, state: RequestState, total: bool
) -> None:
    times: dict[str, Any] = {
        "queue_timeout_s": 10,
        "run_timeout_s": 10,
        "timeout_s": 5 if total else 60,
    }
    case = await arrive(lanes, state, **times)
    await lanes.forward(6 if total else 11)
    assert await lanes.step("expire_step") == [case.request_id]
    await ended_as(case, when_due(state, total_is_over=total))


@pytest.mark.parametrize("told", ["succeeded", "failed", "cancelled"])
@pytest.mark.parametrize("cancels", [False, True])
async def test_a_result_means_what_the_table_says(lanes: Lanes, told: str, cancels: bool) -> None:
    case = await arrive(lanes, RUNNING, cancels=cancels)
    assert await case.finish(told) == "stored"
    assert await case.state() is when_told(RequestState(told), cancel_requested=cancels)


async def test_the_table_itself_refuses_to_change_an_end(lanes: Lanes) -> None:
    case = await arrive(lanes, RequestState.SUCCEEDED)
    with pytest.raises(asyncpg.RaiseError, match="final"):
        await lanes.tables.execute(
            "UPDATE scheduler.request SET state = 'queued', finished_at = NULL WHERE request_id = $1",
            case.request_id,
        )


async def ended_as(case: Case, expected: Ending) -> None:
    """The request is where it should be, with one result if that is an end, and its reason."""
    assert await case.state() is expected.state
    results = await case.lanes.tables.fetchval(
        "SELECT count(*) FROM scheduler.result WHERE request_id = $1", case.request_id
    )
    assert results == (1 if expected.state.terminal else 0)
    if expected.code is not None:
        assert Code(await case.lanes.problem(case.request_id)) is expected.code


async def counters_are_true(lanes: Lanes, space_id: str) -> bool:
    """The lane's counters are what counting gives."""
    row = await lanes.tables.fetchrow(
        """
        SELECT l.queued, l.running, count(*) FILTER (WHERE r.state = 'queued') AS waits,
               count(*) FILTER (WHERE r.state = 'running') AS runs
        FROM scheduler.lane l LEFT JOIN scheduler.request r USING (space_id)
        WHERE l.space_id = $1 GROUP BY l.space_id
        """,
        space_id,
    )
    assert row is not None
    return bool((row["queued"], row["running"]) == (row["waits"], row["runs"]))
