"""Counts over time: every scheduler adds its own, and the sums are right."""

from spaces_contracts.requests import RequestState
from spaces_contracts.system import GetHistory, History
from spaces_scheduler.figures import RANGES, Counts
from tests.integration.scheduler.world import World, new_request


async def history(world: World) -> History:
    return await world.bus.request(GetHistory(hours=1))


async def test_what_was_accepted_and_ended_stands_in_its_minute(world: World) -> None:
    await world.lanes.tables.execute("DELETE FROM scheduler.figures")
    space_id = await world.lanes.open()
    worker = await world.worker(space_id)
    await world.submit_all(*(new_request(space_id) for _ in range(4)))
    await worker.finish(await worker.jobs.next())
    await worker.finish(await worker.jobs.next(), RequestState.FAILED)
    await worker.jobs.next()
    await world.scheduler.figures.step()

    points = (await history(world)).points
    assert sum(point.accepted for point in points) == 4
    assert sum(point.succeeded for point in points) == 1
    assert sum(point.failed for point in points) == 1
    last = points[-1]
    assert (last.queued, last.queued_max, last.running) == (1.0, 1, 1.0)
    assert last.run_p50_s is not None
    assert last.run_p50_s <= (last.run_p95_s or 0)

    await world.scheduler.figures.step()  # nothing more was counted
    assert sum(point.accepted for point in (await history(world)).points) == 4


async def test_counts_of_several_schedulers_add_up(world: World) -> None:
    await world.lanes.tables.execute("DELETE FROM scheduler.figures")
    store = world.scheduler.stores.figures
    counts = Counts(3, {"succeeded": 2}, [0, 2, *[0] * (RANGES - 2)], [1, 1, *[0] * (RANGES - 2)])
    await store.add(counts, (10, 2))
    await store.add(counts, None)
    points = (await history(world)).points
    assert sum(point.accepted for point in points) == 6
    assert sum(point.succeeded for point in points) == 4
    assert [point.queued for point in points if point.queued is not None] == [10.0]
