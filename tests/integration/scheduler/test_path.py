"""The main path over the bus: submit, dispatch, result, end."""

from spaces_chassis.bus.routes import Route
from spaces_chassis.testing import Signal
from spaces_contracts.identifiers import new_id
from spaces_contracts.requests import RequestFinished, RequestState, ResultOutcome
from tests.integration.scheduler.world import World, new_request


async def test_a_request_goes_to_the_worker_and_its_result_to_whoever_watches(world: World) -> None:
    space_id = await world.lanes.open()
    worker = await world.worker(space_id)
    ends = await world.ends(space_id)

    verdict = await world.submit(space_id, payload='{"prompt":"nul \\u0000 and ä"}')
    job = await worker.jobs.next()
    ack = await worker.finish(job, output_json='"nul \\u0000 too"')
    end = await ends.next()

    assert verdict.problem is None
    assert (verdict.state, verdict.position) == (RequestState.RUNNING, None)
    assert (job.request_id, job.attempt) == (verdict.request_id, 1)
    assert job.payload == '{"prompt":"nul \\u0000 and ä"}'
    assert 0 < job.remaining_ms <= 120_000
    assert ack.verdict is ResultOutcome.STORED
    assert (end.state, end.output_json) == (RequestState.SUCCEEDED, '"nul \\u0000 too"')
    view = await world.get(verdict.request_id)
    assert (view.state, view.output_json) == (RequestState.SUCCEEDED, '"nul \\u0000 too"')
    assert view.started_at is not None
    assert view.finished_at == end.finished_at


async def test_the_end_is_also_sent_to_the_subject_that_the_submitter_named(world: World) -> None:
    space_id = await world.lanes.open()
    worker = await world.worker(space_id)
    notify = f"gw.{new_id()}.cl.{new_id()}"
    heard: Signal[bytes] = Signal()
    route = Route("notify", notify, lambda delivery: heard.send(delivery.body))
    subscription = await world.bus.subscribe(route, notify)

    verdict = await world.submit(space_id, notify=notify)
    await worker.finish(await worker.jobs.next())

    assert RequestFinished.decode(await heard.next()).request_id == verdict.request_id
    await subscription.stop()


async def test_a_result_frees_the_slot_for_the_next_in_order(world: World) -> None:
    space_id = await world.lanes.open()
    worker = await world.worker(space_id)
    requests = [new_request(space_id) for _ in range(5)]
    verdicts = await world.submit_all(*requests)

    order = []
    for _ in requests:
        job = await worker.jobs.next()
        order.append(job.request_id)
        await worker.finish(job)

    assert order == [request.request_id for request in requests]
    assert [verdict.position for verdict in verdicts] == [None, 1, 2, 3, 4]
