"""Watches: told once, and looked up when nothing was heard."""

from datetime import UTC, datetime

from spaces_chassis.bus import serve
from spaces_chassis.errors import ProblemError
from spaces_chassis.testing import ManualClock, MemoryBus
from spaces_contracts.identifiers import new_id
from spaces_contracts.problems import Code
from spaces_contracts.requests import (
    GetRequests,
    RequestFinished,
    RequestList,
    RequestState,
    RequestView,
)
from spaces_gateway.waiters import QUIET_S, Callbacks, Waiters

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def view(request_id: str, state: RequestState = RequestState.QUEUED) -> RequestView:
    return RequestView(
        request_id=request_id,
        space_id=new_id(),
        tenant_id=new_id(),
        principal_id=new_id(),
        state=state,
        created_at=NOW,
        finished_at=NOW,
    )


def event(request_id: str) -> RequestFinished:
    return RequestFinished(
        space_id=new_id(),
        request_id=request_id,
        state=RequestState.SUCCEEDED,
        created_at=NOW,
        finished_at=NOW,
    )


class World:
    def __init__(self) -> None:
        self.clock, self.bus = ManualClock(), MemoryBus()
        self.waiters = Waiters(self.bus, self.clock, new_id())
        self.views: dict[str, RequestView] = {}
        self.asked: list[list[str]] = []
        self.ends: list[str] = []
        self.seen: list[str] = []
        self.fit = 256  # how many requests fit in an answer

    async def start(self) -> None:
        async def get(command: GetRequests) -> RequestList:
            self.asked.append(command.request_ids)
            if len(command.request_ids) > self.fit:
                raise ProblemError.of(Code.PAYLOAD_TOO_LARGE)
            found = [self.views[one] for one in command.request_ids if one in self.views]
            return RequestList(requests=found)

        self.bus.add_routes([serve(GetRequests, get, queue="q")])
        await self.bus.start()

    def watch(self, request_id: str) -> None:
        self.waiters.watch(
            request_id,
            Callbacks(
                lambda event: self.ends.append(event.request_id),
                lambda view: self.seen.append(view.request_id),
            ),
        )


async def test_an_end_is_told_once_to_every_watch() -> None:
    world = World()
    one, other = new_id(), new_id()
    for request_id in (one, one, other):
        world.watch(request_id)
    for _ in range(2):
        world.waiters.finished(event(one))
    assert world.ends == [one, one]
    assert len(world.waiters) == 1


async def test_a_stopped_watch_is_not_told() -> None:
    world = World()
    told: list[RequestFinished] = []
    watch = world.waiters.watch("r", Callbacks(told.append))
    watch.stop()
    watch.stop()
    world.waiters.finished(event(new_id()))
    assert (told, len(world.waiters)) == ([], 0)


async def test_only_what_was_quiet_is_looked_up() -> None:
    world = World()
    await world.start()
    quiet, heard = new_id(), new_id()
    for request_id in (quiet, heard):
        world.views[request_id] = view(request_id)
        world.watch(request_id)
    world.clock.forward(QUIET_S - 1)
    assert await world.waiters.step() == 0
    world.waiters.heard(heard)
    world.clock.forward(1)
    assert await world.waiters.step() == 1
    assert (world.asked, world.seen) == ([[quiet]], [quiet])
    assert await world.waiters.step() == 0
    await world.bus.stop()


async def test_a_lost_end_is_found() -> None:
    world = World()
    await world.start()
    request_id = new_id()
    world.watch(request_id)
    world.views[request_id] = view(request_id, RequestState.FAILED)
    world.clock.forward(QUIET_S)
    await world.waiters.step()
    assert world.ends == [request_id]
    assert len(world.waiters) == 0
    await world.bus.stop()


async def test_what_is_not_known_is_asked_for_again_only_after_the_same_time() -> None:
    world = World()
    await world.start()
    world.watch(new_id())
    world.clock.forward(QUIET_S)
    assert [await world.waiters.step(), await world.waiters.step()] == [1, 0]
    world.clock.forward(QUIET_S)
    assert await world.waiters.step() == 1
    await world.bus.stop()


async def test_an_outage_is_survived_and_asked_again() -> None:
    world = World()
    await world.start()
    request_id = new_id()
    world.watch(request_id)
    world.views[request_id] = view(request_id, RequestState.SUCCEEDED)
    world.clock.forward(QUIET_S)
    world.bus.broker.go_down()
    await world.waiters.step()
    assert world.ends == []
    world.bus.broker.come_up()
    await world.waiters.step()
    assert world.ends == [request_id]
    await world.bus.stop()


async def test_what_does_not_fit_in_one_answer_is_asked_for_in_parts() -> None:
    world = World()
    await world.start()
    world.fit = 2
    ids = [new_id() for _ in range(5)]
    for request_id in ids:
        world.views[request_id] = view(request_id, RequestState.SUCCEEDED)
        world.watch(request_id)
    world.clock.forward(QUIET_S)
    await world.waiters.step()
    assert sorted(world.ends) == sorted(ids)
    await world.bus.stop()
