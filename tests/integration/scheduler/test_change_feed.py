"""Lists that somebody looks at hear what changes, and nobody else pays for it."""

import pytest

from spaces_chassis.bus import on
from spaces_chassis.testing import Signal
from spaces_contracts.identifiers import new_id
from spaces_contracts.problems import Code, Problem
from spaces_contracts.request_changes import RequestChange, RequestsChanged, WatchChanges
from spaces_contracts.requests import RequestState
from spaces_scheduler import change_feed
from tests.integration.scheduler.world import PRINCIPAL, TENANT, World, new_request


async def changes(world: World, space_id: str) -> Signal[RequestsChanged]:
    """What is told of a space from now on, while somebody looks."""
    heard: Signal[RequestsChanged] = Signal()
    await world._hear(
        on(RequestsChanged, lambda message, _: heard.send(message)),
        RequestsChanged.subject.listen(space_id=space_id),
    )
    await world.bus.publish(WatchChanges(gateway_id=new_id()))
    await world.bus.flush()
    return heard


async def until(heard: Signal[RequestsChanged], state: RequestState) -> RequestChange:
    while True:
        for change in (await heard.next()).changes:
            if change.state is state:
                return change


async def test_a_request_is_told_of_as_it_waits_runs_and_ends(world: World) -> None:
    space_id = await world.lanes.open()
    heard = await changes(world, space_id)
    request_id = (await world.submit(space_id)).request_id
    message = await heard.next()
    (queued,) = message.changes
    assert (message.tenant_id, queued.request_id, queued.state) == (TENANT, request_id, "queued")
    assert queued.principal_id == PRINCIPAL

    worker = await world.worker(space_id)
    running = await until(heard, RequestState.RUNNING)
    assert (running.request_id, running.attempt) == (request_id, 1)

    problem = Problem(code=Code.HANDLER_FAILED, message="no")
    await worker.finish(await worker.jobs.next(), RequestState.FAILED, error=problem)
    failed = await until(heard, RequestState.FAILED)
    assert (failed.request_id, failed.code) == (request_id, Code.HANDLER_FAILED)


async def test_a_cancel_is_told_of(world: World) -> None:
    space_id = await world.lanes.open()
    request_id = (await world.submit(space_id)).request_id
    heard = await changes(world, space_id)
    await world.lanes.cancel(request_id)
    await world.announce(request_id)
    change = await until(heard, RequestState.CANCELLED)
    assert (change.request_id, change.code) == (request_id, Code.CANCELLED)


async def test_many_changes_go_together_each_request_once_and_what_does_not_fit_is_counted(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(change_feed, "MAX_CHANGES", 5)
    monkeypatch.setattr(change_feed, "EVERY_S", 0.3)
    space_id = await world.lanes.open()
    heard = await changes(world, space_id)
    await world.submit_all(*(new_request(space_id) for _ in range(8)))
    message = await heard.next()
    assert len({one.request_id for one in message.changes}) == 5
    assert message.missed == 3


async def test_nothing_is_told_while_nobody_looks(world: World) -> None:
    space_id = await world.lanes.open()
    feed = world.scheduler.outgoing.changes
    assert not feed.watching
    await world.submit(space_id)
    assert feed._spaces == {}
