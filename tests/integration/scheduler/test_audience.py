"""Requests of a private space exist for who sees the space, and for nobody else."""

from typing import Any

import pytest

from spaces_contracts.access import EVERYTHING, Sight
from spaces_contracts.identifiers import new_id
from spaces_contracts.problems import Code
from spaces_contracts.request_lists import (
    CancelRequests,
    FindRequests,
    GetRequestDetails,
    ListRequests,
)
from spaces_contracts.requests import CancelRequest, GetRequests, RequestState
from spaces_contracts.system import ListBusyQueues
from spaces_scheduler import change_feed, list_store
from tests.integration.scheduler.test_change_feed import changes
from tests.integration.scheduler.world import TENANT, World

MAKER = new_id()
STRANGER = dict(Sight(tenant_id=TENANT, makers=[new_id()]))
SEEING = [
    dict(EVERYTHING),
    dict(Sight(tenant_id=TENANT, makers=None)),
    dict(Sight(tenant_id=TENANT, makers=[MAKER])),
]


async def hide(world: World, space_id: str, private_to: str | None = MAKER) -> None:
    await world.lanes.as_registry.execute(
        "SELECT scheduler.lane_show($1, $2)", space_id, private_to
    )


async def listed(world: World, **fields: Any) -> list[str]:
    page = await world.bus.request(ListRequests.model_validate(fields))
    return [view.request_id for view in page.requests]


async def test_every_question_leaves_them_out_for_who_does_not_see_the_space(world: World) -> None:
    space_id, shown = await world.lanes.open(), await world.lanes.open()
    hidden = (await world.submit(space_id)).request_id
    other = (await world.submit(shown)).request_id
    await hide(world, space_id)
    both = {hidden, other}
    for sight, wanted in [(STRANGER, {other}), *((one, both) for one in SEEING)]:
        found = await world.bus.request(GetRequests(request_ids=[hidden, other], **sight))
        assert {view.request_id for view in found.requests} == wanted
        for narrowed in ({}, {"states": ["queued"]}, {"states": ["queued", "succeeded"]}):
            assert set(await listed(world, **sight, **narrowed)) == wanted
            here = await listed(world, **sight, **narrowed, space_id=space_id)
            assert set(here) == wanted & {hidden}
        ids = await world.bus.request(FindRequests(**sight))
        assert set(ids.request_ids) == wanted
        busy = await world.bus.request(ListBusyQueues(**sight))
        assert {one.space_id for one in busy.queues} == (
            {shown} if wanted == {other} else {shown, space_id}
        )
        assert busy.queued == len(wanted)
    for command in (
        GetRequestDetails(request_id=hidden, **STRANGER),
        CancelRequest(request_id=hidden, **STRANGER),
    ):
        assert (await world.refused(command)).code is Code.REQUEST_NOT_FOUND
    done = await world.bus.request(CancelRequests(**STRANGER))
    assert (done.matched, done.done) == (1, 1)
    assert (await world.get(hidden)).state is RequestState.QUEUED
    (view,) = (
        await world.bus.request(GetRequests(request_ids=[hidden], **dict(EVERYTHING)))
    ).requests
    assert view.private_to == MAKER
    cancel = CancelRequest(request_id=hidden, **SEEING[2])
    assert (await world.bus.request(cancel)).request.state is RequestState.CANCELLED


async def test_who_says_nothing_about_makers_sees_no_private_space(world: World) -> None:
    """A gateway of an older release, for one."""
    space_id = await world.lanes.open()
    hidden = (await world.submit(space_id)).request_id
    await hide(world, space_id, "")
    assert await listed(world) == []
    assert (await world.bus.request(GetRequests(request_ids=[hidden]))).requests == []
    assert await listed(world, makers=None) == [hidden]
    await hide(world, space_id, None)
    assert await listed(world) == [hidden]


async def test_a_page_is_full_or_says_where_to_go_on_however_much_is_hidden(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(list_store, "SCANNED", 4)
    space_id, shown = await world.lanes.open(), await world.lanes.open()
    wanted = []
    for nth in range(12):
        made = (await world.submit(shown if nth % 4 == 0 else space_id)).request_id
        if nth % 4 == 0:
            wanted.append(made)
    await hide(world, space_id)
    seen: list[str] = []
    cursor = None
    while True:
        page = await world.bus.request(ListRequests(limit=2, cursor=cursor, **STRANGER))
        seen += [view.request_id for view in page.requests]
        if (cursor := page.next_cursor) is None:
            break
    assert seen == wanted[::-1]


async def test_changes_say_to_whom_their_space_is_private_also_when_that_changes(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(change_feed, "KNOWN_S", 0.0)
    space_id = await world.lanes.open()
    heard = await changes(world, space_id)
    await world.submit(space_id)
    assert (await heard.next()).private_to is None
    await hide(world, space_id)
    await world.submit(space_id)
    assert (await heard.next()).private_to == MAKER
