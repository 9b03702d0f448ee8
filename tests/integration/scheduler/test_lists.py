"""Looking for requests by what people remember of them, and what is done to all that are found."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from spaces_contracts.identifiers import id_at, new_id
from spaces_contracts.problems import Code
from spaces_contracts.request_lists import (
    CancelRequests,
    FindRequests,
    GetConnectionLoads,
    GetRequestDetails,
    ListRequests,
    NoteRetries,
    Retry,
)
from spaces_contracts.requests import GetRequests, RequestState
from spaces_contracts.system import ListBusyQueues
from spaces_scheduler import list_store
from tests.integration.scheduler.world import PRINCIPAL, TENANT, World, new_request

OTHER = "othertenant00000000000000"


async def ids(world: World, **fields: Any) -> list[str]:
    page = await world.bus.request(ListRequests.model_validate(fields))
    return [view.request_id for view in page.requests]


async def ended(world: World, space_id: str, *states: RequestState) -> list[str]:
    """Requests that ended so, oldest first."""
    worker = await world.worker(space_id)
    made = []
    for state in states:
        made.append((await world.submit(space_id)).request_id)
        job = await worker.jobs.next()
        await worker.finish(job, state)
    await world.detach(worker)
    return made


async def test_a_list_is_narrowed_by_who_when_and_the_beginning_of_the_id(world: World) -> None:
    space_id, me = await world.lanes.open(), new_id()
    now = datetime.now(UTC)
    old = id_at(int((now - timedelta(hours=3)).timestamp() * 1000))
    await world.submit(space_id, request_id=old)
    mine = (await world.submit(space_id, principal_id=me)).request_id
    theirs = (await world.submit(space_id)).request_id

    assert await ids(world, principal_ids=[me]) == [mine]
    assert await ids(world, principal_ids=[me, PRINCIPAL]) == [theirs, mine, old]
    assert await ids(world, principal_ids=[]) == []
    assert await ids(world, since=now - timedelta(hours=1)) == [theirs, mine]
    assert await ids(world, until=now - timedelta(hours=1)) == [old]
    assert await ids(world, since=now - timedelta(hours=4), until=now - timedelta(hours=2)) == [old]
    assert await ids(world, id_prefix=mine[:26]) == [mine]
    assert await ids(world, id_prefix=old[:8]) == [old]
    assert await ids(world, id_prefix="zzzz") == []


async def test_states_are_found_by_themselves_and_together_newest_first(world: World) -> None:
    space_id = await world.lanes.open()
    good, bad = await ended(world, space_id, RequestState.SUCCEEDED, RequestState.FAILED)
    gone = (await world.submit(space_id)).request_id
    await world.lanes.cancel(gone)
    waits = (await world.submit(space_id)).request_id

    assert await ids(world, states=["failed"]) == [bad]
    assert await ids(world, states=["cancelled", "failed"]) == [gone, bad]
    assert await ids(world, states=["queued", "failed", "cancelled"]) == [waits, gone, bad]
    assert await ids(world, states=["succeeded"]) == [good]
    assert await ids(world, states=["succeeded", "queued"]) == [waits, good]
    assert await ids(world, states=["expired"]) == []


async def test_another_tenants_requests_are_never_found(world: World) -> None:
    space_id, other = await world.lanes.open(), await world.lanes.open()
    mine = (await world.submit(space_id)).request_id
    theirs = (await world.submit(other, tenant_id=OTHER)).request_id
    await world.lanes.cancel(mine, theirs)
    for narrowed in ({}, {"states": ["cancelled"]}, {"principal_ids": [PRINCIPAL]}):
        assert await ids(world, tenant_id=TENANT, **narrowed) == [mine]
        assert await ids(world, tenant_id=TENANT, space_id=other, **narrowed) == []
        assert await ids(world, **narrowed) == [theirs, mine]


@pytest.mark.parametrize("states", [[], ["cancelled", "queued"], ["succeeded", "cancelled"]])
async def test_a_search_that_is_stopped_goes_on_where_it_was_and_misses_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch, states: list[str]
) -> None:
    monkeypatch.setattr(list_store, "SCANNED", 3)
    space_id, me = await world.lanes.open(), new_id()
    made = [
        (await world.submit(space_id, principal_id=me if nth % 4 == 0 else PRINCIPAL)).request_id
        for nth in range(13)
    ]
    await world.lanes.cancel(*made[::2])
    seen: list[str] = []
    cursor = None
    pages = 0
    while True:
        page = await world.bus.request(
            ListRequests(
                principal_ids=[me],
                states=[RequestState(one) for one in states],
                cursor=cursor,
                limit=2,
            )
        )
        seen += [view.request_id for view in page.requests]
        pages += 1
        if (cursor := page.next_cursor) is None:
            break
    assert seen == list(reversed(made[::4]))
    assert pages > 2


async def test_places_in_a_list_are_those_of_the_queue(world: World) -> None:
    space_id = await world.lanes.open()
    low, high, mid = [
        (await world.submit(space_id, priority=priority)).request_id for priority in (0, 9, 5)
    ]
    page = await world.bus.request(ListRequests(space_id=space_id))
    shown = {view.request_id: (view.position, view.queue_size) for view in page.requests}
    assert shown == {high: (1, 3), mid: (2, 3), low: (3, 3)}
    alone = await world.bus.request(GetRequests(request_ids=[low]))
    assert alone.requests[0].position == 3


async def test_a_mass_cancel_ends_what_waits_asks_what_runs_and_counts_both(world: World) -> None:
    space_id, other = await world.lanes.open(), await world.lanes.open()
    worker = await world.worker(space_id)
    mine = [(await world.submit(space_id)).request_id for _ in range(4)]
    job = await worker.jobs.next()
    spared = (await world.submit(other)).request_id
    theirs = (await world.submit(other, tenant_id=OTHER)).request_id

    done = await world.bus.request(CancelRequests(tenant_id=TENANT, space_id=space_id))
    assert (done.matched, done.done, done.more) == (4, 4, False)
    assert (await worker.cancels.next()).request_id == job.request_id
    states = [(await world.get(one)).state for one in [*mine[1:], spared, theirs]]
    assert states == [RequestState.CANCELLED] * 3 + [RequestState.QUEUED] * 2


async def test_a_mass_cancel_takes_some_at_a_time_and_says_when_there_are_more(
    world: World,
) -> None:
    space_id = await world.lanes.open()
    await world.submit_all(*(new_request(space_id) for _ in range(5)))
    command = CancelRequests(space_id=space_id, limit=3)
    rounds = [await world.bus.request(command) for _ in range(3)]
    assert [(one.matched, one.done, one.more) for one in rounds] == [
        (3, 3, True),
        (2, 2, False),
        (0, 0, False),
    ]


async def test_a_mass_cancel_of_what_has_ended_does_nothing(world: World) -> None:
    space_id = await world.lanes.open()
    await ended(world, space_id, RequestState.FAILED)
    done = await world.bus.request(CancelRequests(states=[RequestState.FAILED]))
    assert (done.matched, done.done) == (0, 0)


async def test_a_story_names_each_attempt_and_what_was_asked(world: World) -> None:
    space_id = await world.lanes.open(retry_after_start=True)
    first = await world.worker(space_id)
    request_id = (await world.submit(space_id, payload='{"prompt":"once"}')).request_id
    await first.answer(await first.jobs.next())
    await world.detach(first)
    second = await world.worker(space_id)
    await second.finish(await second.jobs.next())

    story = await world.bus.request(GetRequestDetails(request_id=request_id, tenant_id=TENANT))
    assert [(one.attempt, one.connection_id) for one in story.attempts] == [
        (1, first.connection_id),
        (2, second.connection_id),
    ]
    assert story.request.payload_json == '{"prompt":"once"}'
    assert story.request.output_json is None
    assert story.request.state is RequestState.SUCCEEDED
    ends = [one.released_at for one in story.attempts]
    assert None not in ends
    assert story.attempts[1].accepted_at is None  # its end was the first that it said
    assert story.queued_at is not None
    assert story.request.created_at <= story.attempts[0].dispatched_at + timedelta(seconds=1)


async def test_a_story_of_another_tenant_is_not_found(world: World) -> None:
    space_id = await world.lanes.open()
    theirs = (await world.submit(space_id, tenant_id=OTHER)).request_id
    for unknown in (theirs, new_id()):
        problem = await world.refused(GetRequestDetails(request_id=unknown, tenant_id=TENANT))
        assert problem.code is Code.REQUEST_NOT_FOUND


async def test_a_retry_is_known_on_both_sides_and_is_not_made_twice(world: World) -> None:
    space_id = await world.lanes.open()
    (bad,) = await ended(world, space_id, RequestState.FAILED)
    again, refused = new_id(), new_id()
    find = FindRequests(states=[RequestState.FAILED], not_retried=True)
    await world.bus.request(
        NoteRetries(retries=[Retry(request_id=one, retry_of=bad) for one in (again, refused)])
    )
    assert (await world.bus.request(find)).request_ids == [bad]  # noted, and not submitted
    await world.submit(space_id, request_id=again)

    assert (await world.bus.request(find)).request_ids == []
    of_old = await world.bus.request(GetRequestDetails(request_id=bad))
    of_new = await world.bus.request(GetRequestDetails(request_id=again))
    assert (of_old.retry_of, of_old.retried_as) == (None, [again])
    assert (of_new.retry_of, of_new.retried_as) == (bad, [])


async def test_a_connection_tells_what_it_works_on(world: World) -> None:
    space_id = await world.lanes.open()
    busy, idle = await world.worker(space_id, slots=2), await world.worker(await world.lanes.open())
    made = {(await world.submit(space_id)).request_id for _ in range(3)}
    command = GetConnectionLoads(connection_ids=[idle.connection_id, busy.connection_id])
    (load,) = (await world.bus.request(command)).loads
    assert (load.connection_id, load.in_flight) == (busy.connection_id, 2)
    assert set(load.request_ids) < made


async def test_busy_queues_come_with_the_fullest_first_and_only_ones_own(world: World) -> None:
    empty, short, long = [await world.lanes.open() for _ in range(3)]
    await world.submit_all(*(new_request(space) for space in (short, long, long)))
    busy = await world.bus.request(ListBusyQueues(tenant_id=TENANT))
    assert [(one.space_id, one.queue_size) for one in busy.queues] == [(long, 2), (short, 1)]
    assert (busy.queued, busy.running, busy.more) == (3, 0, 0)
    first = await world.bus.request(ListBusyQueues(limit=1))
    assert ([one.space_id for one in first.queues], first.queued, first.more) == ([long], 3, 1)
    assert (await world.bus.request(ListBusyQueues(tenant_id=new_id()))).queues == []
    assert empty not in {one.space_id for one in busy.queues}
