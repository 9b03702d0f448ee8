"""Workers: who gets a job, what a result is worth, and what becomes of jobs that nobody takes."""

import asyncio

import pytest

from spaces_contracts.identifiers import new_id
from spaces_contracts.problems import Code
from spaces_contracts.requests import Job, JobResult, RequestState, ResultOutcome
from spaces_scheduler.app import Scheduler
from tests.integration.scheduler.world import Lanes, World, new_request
from tests.support.eventually import eventually

# Choosing a connection


async def test_the_connection_with_the_most_free_slots_is_chosen_then_the_oldest(
    lanes: Lanes,
) -> None:
    space_id = await lanes.open()
    small, large = new_id(), new_id()
    await lanes.attach(space_id, small, instance_id=new_id(), slots=1)
    await lanes.attach(space_id, large, instance_id=new_id(), slots=3)
    rows = await lanes.submit_all(*(new_request(space_id) for _ in range(4)))
    assert [row["connection_id"] for row in rows] == [large, large, small, large]


async def test_a_draining_connection_gets_nothing_more_and_finishes_what_it_has(
    world: World,
) -> None:
    space_id = await world.lanes.open()
    worker = await world.worker(space_id)
    await world.submit(space_id)
    await world.lanes.drain(worker.connection_id)
    waiting = await world.submit(space_id)
    ack = await worker.finish(await worker.jobs.next())
    assert ack.verdict is ResultOutcome.STORED
    assert (await world.get(waiting.request_id)).state is RequestState.QUEUED


# What a result is worth


async def test_a_result_that_comes_twice_is_stored_once_and_acknowledged_twice(
    world: World,
) -> None:
    space_id = await world.lanes.open()
    worker = await world.worker(space_id)
    ends = await world.ends(space_id)
    await world.submit(space_id)
    job = await worker.jobs.next()
    acks = [(await worker.finish(job, output_json=str(n))).verdict for n in range(2)]
    assert acks == [ResultOutcome.STORED, ResultOutcome.STORED]
    assert (await world.get(job.request_id)).output_json == "0"
    await ends.next()
    assert len(ends) == 1


async def test_a_result_of_a_lost_attempt_is_stale_and_names_the_attempt_it_judged(
    world: World,
) -> None:
    space_id = await world.lanes.open()
    first = await world.worker(space_id)
    await world.submit(space_id)
    job = await first.jobs.next()
    await world.detach(first)
    second = await world.worker(space_id)
    again = await second.jobs.next()

    late = await first.finish(job)

    assert (job.attempt, again.attempt) == (1, 2)
    assert (late.verdict, late.attempt) == (ResultOutcome.STALE, 1)
    assert (await second.finish(again)).verdict is ResultOutcome.STORED


async def test_another_workers_result_is_unknown_and_changes_nothing(world: World) -> None:
    space_id, other_space = await world.lanes.open(), await world.lanes.open()
    worker = await world.worker(space_id)
    await world.submit(space_id)
    job = await worker.jobs.next()
    neighbour = await world.worker(space_id)
    stranger = await world.worker(other_space)
    for foreign in (neighbour, stranger):
        assert (await foreign.finish(job)).verdict is ResultOutcome.UNKNOWN
    assert (await world.get(job.request_id)).state is RequestState.RUNNING


@pytest.mark.parametrize(
    "wrong", [{"request_id": "n" * 26}, {"attempt": 7}, {"attempt": 2**40}, {"attempt": -1}]
)
async def test_a_result_for_nothing_is_unknown(world: World, wrong: dict[str, object]) -> None:
    space_id = await world.lanes.open()
    worker = await world.worker(space_id)
    await world.submit(space_id)
    job = (await worker.jobs.next()).model_copy(update=wrong)
    assert (await worker.finish(job)).verdict is ResultOutcome.UNKNOWN


async def test_a_result_that_is_no_end_is_unknown(world: World) -> None:
    space_id = await world.lanes.open()
    worker = await world.worker(space_id)
    await world.submit(space_id)
    ack = await worker.finish(await worker.jobs.next(), RequestState.QUEUED)
    assert ack.verdict is ResultOutcome.UNKNOWN


async def test_a_result_nobody_waits_for_an_answer_to_is_stored(world: World) -> None:
    space_id = await world.lanes.open()
    worker = await world.worker(space_id)
    ends = await world.ends(space_id)
    await world.submit(space_id)
    job = await worker.jobs.next()
    await world.bus.publish(
        JobResult(
            space_id=space_id,
            connection_id=worker.connection_id,
            request_id=job.request_id,
            attempt=1,
            state=RequestState.SUCCEEDED,
        )
    )
    assert (await ends.next()).state is RequestState.SUCCEEDED


# Refusing


async def test_a_refused_job_goes_to_another_worker_and_costs_no_try(world: World) -> None:
    space_id = await world.lanes.open()
    busy = await world.worker(space_id)
    await world.submit(space_id)
    job = await busy.jobs.next()
    idle = await world.worker(space_id)
    await busy.answer(job, accepted=False)
    again = await idle.jobs.next()
    assert (again.request_id, again.attempt) == (job.request_id, 2)
    assert (await world.lanes.request(job.request_id))["tries"] == 1


async def test_a_worker_that_refuses_is_left_alone_for_a_while_and_then_asked_again(
    world: World, scheduler: Scheduler
) -> None:
    space_id = await world.lanes.open()
    worker = await world.worker(space_id)
    await world.submit(space_id)
    job = await worker.jobs.next()
    await worker.answer(job, accepted=False)
    await eventually(lambda: is_in(world, job, "queued"))
    assert await world.lanes.step("resume_step") == []
    await world.lanes.forward(0.3)

    await scheduler.sweep.step()

    assert (await worker.jobs.next()).attempt == 2
    assert await world.lanes.repair() == []


async def test_pauses_grow_with_refusals_in_a_row_and_end_with_a_result(lanes: Lanes) -> None:
    space_id, connection_id = await lanes.open(), new_id()
    await lanes.attach(space_id, connection_id, instance_id=new_id())
    request_id = await lanes.submit(space_id)
    pauses = []
    for attempt in range(1, 9):
        await lanes.refuse(space_id, connection_id, request_id, attempt)
        pauses.append(
            await lanes.tables.fetchval(
                "SELECT extract(epoch FROM paused_until - scheduler.deadline_clock())::float8"
                " FROM scheduler.connection"
            )
        )
        await lanes.forward(11)
        assert await lanes.step("resume_step") == [request_id]
    assert [round(pause, 1) for pause in pauses] == [0.2, 0.5, 1, 2, 4, 8, 10, 10]
    assert pauses[-1] <= 10
    assert await lanes.finish(space_id, connection_id, request_id, 9) == "stored"
    assert await lanes.tables.fetchval("SELECT refusals FROM scheduler.connection") == 0


async def is_in(world: World, job: Job, state: str) -> bool:
    return await world.lanes.state(job.request_id) == state


# Being out of reach


async def test_the_registry_is_told_of_a_connection_that_nobody_holds(world: World) -> None:
    space_id = await world.lanes.open()
    suspicions = await world.suspicions()
    worker = await world.worker(space_id, listens=False)
    await asyncio.gather(*(world.submit(space_id) for _ in range(3)))
    assert await suspicions.next() == worker.connection_id


async def test_a_lost_worker_is_worker_lost_when_no_try_is_left(world: World) -> None:
    space_id = await world.lanes.open(max_attempts=1)
    worker = await world.worker(space_id)
    ends = await world.ends(space_id)
    await world.submit(space_id)
    await worker.jobs.next()
    await world.detach(worker)
    end = await ends.next()
    assert end.error is not None
    assert (end.state, end.error.code) == (RequestState.FAILED, Code.WORKER_LOST)


async def test_a_request_keeps_its_place_when_its_worker_is_lost(world: World) -> None:
    space_id = await world.lanes.open()
    worker = await world.worker(space_id)
    first, second = await world.submit_all(new_request(space_id), new_request(space_id))
    await worker.jobs.next()
    await world.detach(worker)
    assert (await world.get(first.request_id)).position == 1
    assert (await world.get(second.request_id)).position == 2
