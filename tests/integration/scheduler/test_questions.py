"""Reading requests and queues."""

from typing import Any

import pytest

from spaces_contracts.identifiers import new_id
from spaces_contracts.problems import Code
from spaces_contracts.request_lists import ListRequests
from spaces_contracts.requests import (
    AskHolder,
    GetQueues,
    GetRequests,
    RequestState,
)
from tests.integration.scheduler.world import PRINCIPAL, TENANT, Worker, World, new_request

OTHER = "othertenant00000000000000"


async def test_a_request_is_read_back_with_its_payload_only_for_those_who_ask(
    world: World,
) -> None:
    verdict = await world.submit(await world.lanes.open(), priority=3)
    whole = GetRequests(request_ids=[verdict.request_id], with_payload=True)
    (view,) = (await world.bus.request(whole)).requests
    assert view.payload_json == '{"prompt":"hello"}'
    assert (view.tenant_id, view.principal_id, view.priority) == (TENANT, PRINCIPAL, 3)
    assert (view.state, view.position, view.queue_size) == (RequestState.QUEUED, 1, 1)
    assert (await world.get(verdict.request_id)).payload_json is None


async def test_unknown_requests_and_those_of_other_tenants_are_left_out(world: World) -> None:
    space_id = await world.lanes.open()
    mine = await world.submit(space_id)
    theirs = await world.submit(space_id, tenant_id=OTHER)
    ids = [theirs.request_id, new_id(), mine.request_id]
    found = await world.bus.request(GetRequests(request_ids=ids, tenant_id=TENANT))
    assert [view.request_id for view in found.requests] == [mine.request_id]
    found = await world.bus.request(GetRequests(request_ids=ids))
    assert [view.request_id for view in found.requests] == [ids[0], ids[2]]


async def test_what_does_not_fit_in_one_answer_is_refused_with_a_hint(world: World) -> None:
    space_id = await world.lanes.open()
    big = '{"prompt":"' + "x" * 900_000 + '"}'
    ids = [(await world.submit(space_id, payload=big)).request_id for _ in range(3)]
    problem = await world.refused(GetRequests(request_ids=ids, with_payload=True))
    assert problem.code is Code.PAYLOAD_TOO_LARGE
    one = await world.bus.request(GetRequests(request_ids=ids[:1], with_payload=True))
    assert one.requests[0].payload_json == big


async def test_pages_go_from_the_newest_to_the_oldest_without_gap_or_double(world: World) -> None:
    space_id = await world.lanes.open()
    ids = [(await world.submit(space_id)).request_id for _ in range(7)]
    seen: list[str] = []
    cursor = None
    while True:
        page = await world.bus.request(ListRequests(space_id=space_id, limit=3, cursor=cursor))
        seen += [view.request_id for view in page.requests]
        cursor = page.next_cursor
        if cursor is None:
            break
    assert seen == sorted(ids, reverse=True)


@pytest.mark.parametrize("limit", [3, 4])
async def test_a_last_page_has_no_cursor(world: World, limit: int) -> None:
    space_id = await world.lanes.open()
    await world.submit_all(*(new_request(space_id) for _ in range(3)))
    page = await world.bus.request(ListRequests(space_id=space_id, limit=limit))
    assert len(page.requests) == 3
    assert page.next_cursor is None


async def test_a_list_is_narrowed_by_tenant_space_and_state(world: World) -> None:
    space_id, other = await world.lanes.open(), await world.lanes.open()
    worker = await world.worker(space_id)
    runs = await world.submit(space_id)
    waits = await world.submit(space_id)
    await world.submit(other)
    await world.submit(space_id, tenant_id=OTHER)
    await worker.jobs.next()

    async def ids(**fields: object) -> set[str]:
        command = ListRequests.model_validate(fields)
        return {view.request_id for view in (await world.bus.request(command)).requests}

    assert await ids(space_id=space_id, tenant_id=TENANT) == {runs.request_id, waits.request_id}
    assert await ids(space_id=space_id, states=["running"]) == {runs.request_id}
    assert len(await ids(states=["queued", "running"])) == 4
    assert len(await ids(tenant_id=TENANT)) == 3


async def test_a_queue_tells_how_full_it_is_and_how_long_the_next_one_waits(world: World) -> None:
    space_id, offline = await world.lanes.open(), await world.lanes.open()
    worker = await world.worker(space_id, slots=2)
    command = GetQueues(space_ids=[offline, new_id(), space_id])

    empty, online = (await world.bus.request(command)).queues
    assert (empty.space_id, empty.connected, empty.slots, empty.eta_s) == (offline, False, 0, None)
    assert (online.connected, online.slots, online.eta_s) == (True, 2, 0.0)

    await world.submit_all(*(new_request(space_id) for _ in range(5)))
    await worker.finish(await worker.jobs.next())
    _, busy = (await world.bus.request(command)).queues
    assert (busy.queue_size, busy.running) == (2, 2)
    assert busy.eta_s is not None
    assert busy.eta_s > 0


async def holds(world: World, worker: Worker, request_id: str, **other: Any) -> bool:
    asked: dict[str, Any] = {
        "request_id": request_id,
        "attempt": 1,
        "instance_id": worker.instance_id,
        "space_ids": [worker.space_id],
    } | other
    return (await world.bus.request(AskHolder(**asked))).holds


async def test_only_the_agent_that_has_the_attempt_holds_it(world: World) -> None:
    space_id, other = await world.lanes.open(), await world.lanes.open()
    worker, idle = await world.worker(space_id), await world.worker(space_id, slots=1)
    stranger = await world.worker(other)
    runs = (await world.submit(space_id)).request_id
    holder, neighbour = (worker, idle) if await holds(world, worker, runs) else (idle, worker)
    assert await holds(world, holder, runs)
    assert not await holds(world, neighbour, runs)
    assert not await holds(world, stranger, runs)
    assert not await holds(world, holder, runs, attempt=2)
    assert not await holds(world, holder, new_id())
    assert not await holds(world, holder, runs, space_ids=[other])
    assert not await holds(world, holder, runs, space_ids=[])


async def test_an_agent_that_was_cut_off_holds_its_attempt_until_another_gets_it(
    world: World,
) -> None:
    space_id = await world.lanes.open(retry_after_start=True)
    first = await world.worker(space_id)
    request_id = (await world.submit(space_id)).request_id
    await world.detach(first)
    assert await holds(world, first, request_id)  # it may come back and be adopted with it
    second = await world.worker(space_id)
    assert await holds(world, second, request_id, attempt=2)
    assert not await holds(world, first, request_id)


async def test_nobody_holds_what_has_ended(world: World) -> None:
    space_id = await world.lanes.open()
    worker = await world.worker(space_id)
    request_id = (await world.submit(space_id)).request_id
    job = await worker.jobs.next()
    await worker.finish(job)
    assert (await world.get(request_id)).state is RequestState.SUCCEEDED
    assert not await holds(world, worker, request_id)
