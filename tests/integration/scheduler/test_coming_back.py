"""A worker that comes back takes back what it still runs, unless somebody else was given it."""

from spaces_contracts.identifiers import new_id
from spaces_contracts.requests import CancelRequest, Job, RequestState, ResultOutcome
from tests.integration.scheduler.world import Worker, World


async def test_the_same_worker_takes_back_what_it_runs_over_a_new_connection(world: World) -> None:
    space_id = await world.lanes.open()
    old = await world.worker(space_id)
    await world.submit(space_id)
    job = await old.jobs.next()
    new = await reconnect(world, old, job)

    assert (await new.finish(job)).verdict is ResultOutcome.STORED
    assert (await world.lanes.request(job.request_id))["attempt"] == 1
    assert len(new.jobs) == 0


async def test_a_result_over_the_old_connection_of_the_same_worker_counts_too(
    world: World,
) -> None:
    space_id = await world.lanes.open()
    old = await world.worker(space_id)
    await world.submit(space_id)
    job = await old.jobs.next()
    await reconnect(world, old, job)
    assert (await old.finish(job)).verdict is ResultOutcome.STORED


async def test_a_queued_request_is_taken_back_while_nobody_else_was_given_it(world: World) -> None:
    space_id = await world.lanes.open()
    old = await world.worker(space_id)
    await world.submit(space_id)
    job = await old.jobs.next()
    await world.detach(old)
    assert (await world.get(job.request_id)).state is RequestState.QUEUED
    new = await reconnect(world, old, job)
    assert (await new.finish(job)).verdict is ResultOutcome.STORED


async def test_what_another_worker_was_given_meanwhile_is_to_be_abandoned(world: World) -> None:
    space_id = await world.lanes.open()
    old = await world.worker(space_id)
    await world.submit(space_id)
    job = await old.jobs.next()
    await world.detach(old)
    await world.worker(space_id)
    rows = await world.lanes.attach(
        space_id,
        new_id(),
        instance_id=old.instance_id,
        in_flight=((job.request_id, 1), (new_id(), 3)),
    )
    assert {kind for kind, _, _ in rows} == {"abandon"}


async def test_another_instance_takes_nothing_back(world: World) -> None:
    space_id = await world.lanes.open()
    old = await world.worker(space_id)
    await world.submit(space_id)
    job = await old.jobs.next()
    rows = await world.lanes.attach(
        space_id, new_id(), instance_id=new_id(), in_flight=((job.request_id, 1),)
    )
    assert rows == [("abandon", job.request_id, 1)]


async def test_a_takeover_gives_the_old_ones_work_to_the_new_one_in_the_same_transaction(
    world: World,
) -> None:
    space_id = await world.lanes.open()
    old = await world.worker(space_id)
    await world.submit(space_id)
    job = await old.jobs.next()
    new = Worker(world.bus, space_id)
    await world.listen(new)
    await world.attach(new, supersedes=(old.connection_id,))
    again = await new.jobs.next()
    assert (again.request_id, again.attempt) == (job.request_id, 2)
    assert (await old.finish(job)).verdict is ResultOutcome.STALE


async def test_a_cancel_that_went_to_the_old_connection_is_sent_to_the_new_one(
    world: World,
) -> None:
    space_id = await world.lanes.open()
    old = await world.worker(space_id)
    await world.submit(space_id)
    job = await old.jobs.next()
    await world.bus.request(CancelRequest(request_id=job.request_id))
    new = await reconnect(world, old, job)
    assert (await new.cancels.next()).request_id == job.request_id


async def test_an_attach_that_is_sent_twice_changes_nothing_the_second_time(world: World) -> None:
    space_id = await world.lanes.open()
    worker = await world.worker(space_id)
    await world.submit(space_id)
    job = await worker.jobs.next()
    assert await world.attach(worker) == []
    assert (await worker.finish(job)).verdict is ResultOutcome.STORED


async def reconnect(world: World, old: Worker, *jobs: Job) -> Worker:
    """The same instance over a new connection, with what it still runs."""
    new = Worker(world.bus, old.space_id, instance_id=old.instance_id)
    await world.listen(new)
    rows = await world.attach(
        new,
        in_flight=tuple((job.request_id, job.attempt) for job in jobs),
        supersedes=(old.connection_id,),
    )
    assert [(r, a) for kind, r, a in rows if kind == "adopted"] == [
        (job.request_id, job.attempt) for job in jobs
    ]
    return new
