"""Counting what has not ended, for the limits of tenants and keys."""

from spaces_contracts.identifiers import new_id
from spaces_contracts.quotas import CountAsk, CountOpenRequests, Holder
from tests.integration.scheduler.world import PRINCIPAL, TENANT, World, new_request


async def counts(world: World, *asks: tuple[Holder, str]) -> list[tuple[int, int]]:
    command = CountOpenRequests(
        asks=[
            CountAsk(holder=holder, holder_id=holder_id, tenant_id=TENANT)
            for holder, holder_id in asks
        ]
    )
    reply = await world.bus.request(command)
    assert [(one.holder, one.holder_id) for one in reply.counts] == list(asks)
    return [(one.concurrent, one.queued) for one in reply.counts]


async def test_what_waits_and_what_runs_is_counted_over_all_spaces_of_a_tenant(
    world: World,
) -> None:
    served, waiting = await world.lanes.open(), await world.lanes.open()
    worker = await world.worker(served, slots=2)
    stranger = new_id()
    await world.submit_all(*(new_request(served) for _ in range(3)))
    await world.submit_all(*(new_request(waiting, principal_id=stranger) for _ in range(2)))
    asks = [
        (Holder.TENANT, TENANT),
        (Holder.KEY, PRINCIPAL),
        (Holder.KEY, stranger),
        (Holder.TENANT, new_id()),
    ]
    assert await counts(world, *asks) == [(5, 3), (3, 1), (2, 2), (0, 0)]
    for _ in range(3):
        await worker.finish(await worker.jobs.next())
    assert await counts(world, *asks) == [(2, 2), (0, 0), (2, 2), (0, 0)]
