"""Cancels, timeouts and workers that hang: the request ends in time, its slot only when the worker stopped."""

from spaces_contracts.identifiers import new_id
from spaces_contracts.problems import Code
from spaces_contracts.requests import CancelRequest, RequestState, ResultOutcome
from spaces_scheduler.app import Scheduler
from tests.integration.scheduler.world import Worker, World, new_request


async def test_a_worker_that_accepts_and_goes_silent_keeps_its_slot_until_it_confirms(
    world: World, scheduler: Scheduler
) -> None:
    space_id = await world.lanes.open(run_timeout_s=10)
    worker = await world.worker(space_id)
    ends = await world.ends(space_id)
    first, second = await world.submit_all(new_request(space_id), new_request(space_id))
    job = await worker.jobs.next()
    await worker.answer(job)
    await world.lanes.forward(11)

    await expire(scheduler)

    end = await ends.next()
    assert (end.request_id, end.state) == (first.request_id, RequestState.EXPIRED)
    assert end.error is not None
    assert end.error.code is Code.RUN_TIMEOUT
    stop = await worker.cancels.next()
    assert stop.reason is not None
    assert (stop.attempt, stop.reason.code) == (1, Code.RUN_TIMEOUT)
    assert (await world.get(second.request_id)).state is RequestState.QUEUED

    late = await worker.finish(job, RequestState.CANCELLED)

    assert late.verdict is ResultOutcome.STALE
    await job_of(worker, second.request_id)


async def test_the_slot_of_a_silent_worker_is_free_when_its_connection_ends(
    world: World, scheduler: Scheduler
) -> None:
    space_id = await world.lanes.open(run_timeout_s=10)
    worker = await world.worker(space_id)
    _, second = await world.submit_all(new_request(space_id), new_request(space_id))
    await worker.jobs.next()
    await world.lanes.forward(11)
    await expire(scheduler)
    other = await world.worker(space_id)
    await world.detach(worker)
    assert (await other.jobs.next()).request_id == second.request_id


async def test_a_worker_that_does_not_stop_is_asked_again(
    world: World, scheduler: Scheduler
) -> None:
    space_id = await world.lanes.open(run_timeout_s=10)
    worker = await world.worker(space_id)
    await world.submit(space_id)
    await worker.jobs.next()
    await world.lanes.forward(11)
    await expire(scheduler)
    await worker.cancels.next()
    await world.lanes.forward(6)
    await scheduler.sweep.step()
    assert (await worker.cancels.next()).attempt == 1


async def test_a_cancelled_request_that_waits_ends_at_once(world: World) -> None:
    space_id = await world.lanes.open()
    ends = await world.ends(space_id)
    verdict = await world.submit(space_id)
    reply = await world.bus.request(CancelRequest(request_id=verdict.request_id))
    assert reply.request.state is RequestState.CANCELLED
    assert reply.request.error is not None
    assert reply.request.error.code is Code.CANCELLED
    assert (await ends.next()).state is RequestState.CANCELLED


async def test_a_cancelled_request_that_runs_ends_when_its_worker_confirms(world: World) -> None:
    space_id = await world.lanes.open()
    worker = await world.worker(space_id)
    ends = await world.ends(space_id)
    await world.submit(space_id)
    job = await worker.jobs.next()
    reply = await world.bus.request(CancelRequest(request_id=job.request_id))
    assert reply.request.state is RequestState.RUNNING
    assert reply.request.cancel_requested
    assert (await worker.cancels.next()).attempt == 1
    ack = await worker.finish(job, RequestState.CANCELLED, output_json=None)
    assert ack.verdict is ResultOutcome.STORED
    assert (await ends.next()).state is RequestState.CANCELLED


async def test_a_result_that_commits_before_the_cancel_is_confirmed_wins(world: World) -> None:
    space_id = await world.lanes.open()
    worker = await world.worker(space_id)
    await world.submit(space_id)
    job = await worker.jobs.next()
    await world.bus.request(CancelRequest(request_id=job.request_id))
    await worker.finish(job)
    assert (await world.get(job.request_id)).state is RequestState.SUCCEEDED


async def test_a_cancel_nobody_confirms_is_forced_and_a_late_confirmation_frees_the_slot(
    world: World, scheduler: Scheduler
) -> None:
    space_id = await world.lanes.open()
    worker = await world.worker(space_id)
    first, second = await world.submit_all(new_request(space_id), new_request(space_id))
    job = await worker.jobs.next()
    await world.bus.request(CancelRequest(request_id=first.request_id))
    await world.lanes.forward(4)
    await expire(scheduler)
    assert (await world.get(first.request_id)).state is RequestState.RUNNING
    await world.lanes.forward(2)
    await expire(scheduler)
    assert (await world.get(first.request_id)).state is RequestState.CANCELLED
    assert (await world.get(second.request_id)).state is RequestState.QUEUED

    late = await worker.finish(job, RequestState.CANCELLED)

    assert late.verdict is ResultOutcome.STALE
    await job_of(worker, second.request_id)


async def test_a_worker_that_gives_up_unasked_has_failed(world: World) -> None:
    space_id = await world.lanes.open()
    worker = await world.worker(space_id)
    await world.submit(space_id)
    job = await worker.jobs.next()
    await worker.finish(job, RequestState.CANCELLED)
    view = await world.get(job.request_id)
    assert view.state is RequestState.FAILED
    assert view.error is not None
    assert view.error.code is Code.HANDLER_FAILED


async def test_an_unknown_request_cannot_be_cancelled(world: World) -> None:
    problem = await world.refused(CancelRequest(request_id=new_id()))
    assert problem.code is Code.REQUEST_NOT_FOUND


async def test_another_tenants_request_cannot_be_cancelled(world: World) -> None:
    verdict = await world.submit(await world.lanes.open())
    command = CancelRequest(request_id=verdict.request_id, tenant_id="othertenant00000000000000")
    assert (await world.refused(command)).code is Code.REQUEST_NOT_FOUND


async def test_a_job_that_was_lost_and_is_cancelled_comes_again_after_its_stop(
    world: World, scheduler: Scheduler
) -> None:
    space_id = await world.lanes.open()
    worker = await world.worker(space_id)
    first, second = await world.submit_all(new_request(space_id), new_request(space_id))
    await worker.jobs.next()  # lost: this worker never heard of it
    await world.bus.request(CancelRequest(request_id=first.request_id))
    stop = await worker.cancels.next()
    again = await worker.jobs.next()
    assert (stop.request_id, again.request_id) == (first.request_id, first.request_id)
    assert (await worker.finish(again, RequestState.CANCELLED)).verdict is ResultOutcome.STORED
    await job_of(worker, second.request_id)


async def job_of(worker: Worker, request_id: str) -> None:
    """Waits for that request's job; one whose acceptance was not noted yet comes again before it."""
    while (await worker.jobs.next()).request_id != request_id:
        pass


async def expire(scheduler: Scheduler) -> None:
    """One pass of the sweep, as if bus and database had been there for long."""
    await scheduler.clock_watch.step()
    scheduler.sweep.grace_s = 0.0
    await scheduler.sweep.step()
