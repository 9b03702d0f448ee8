"""A watcher's stream with a bus that loses, delays and repeats: gaps are read again, in time or not at all."""

import json
from collections.abc import Awaitable, Callable

import pytest

from spaces_contracts.files import FileRef, InputKind
from spaces_contracts.requests import RequestState
from spaces_gateway.sockets.request_stream import (
    GAP_PAUSE_S,
    GAP_S,
    REPLAY_EVENTS,
)
from tests.support.eventually import eventually
from tests.unit.gateway_sockets.stream_world import World, view
from tests.unit.gateway_sockets.test_stream_merge import NOW, REQUEST, SPACE, chunk, end


@pytest.fixture
def world() -> World:
    return World()


Settled = Callable[[World], Awaitable[None]]


async def settled(world: World) -> None:
    await eventually(lambda: world.stream._reader is None)


async def test_a_chunk_that_was_lost_live_is_read_from_the_stream(world: World) -> None:
    await world.stream.open_known(view())
    await settled(world)
    world.bus.stored = [chunk(1, 1), chunk(1, 2)]
    world.live(chunk(1, 2))
    await settled(world)
    assert world.audience.told[-1].position == "1:2"
    world.finish(end(1, 2))
    assert world.audience.kinds == ["chunk", "finished"]
    assert world.over == 1


async def test_the_end_waits_for_chunks_that_are_stored_a_little_later(world: World) -> None:
    await world.stream.open_known(view())
    await settled(world)
    world.finish(end(1, 2))
    await world.turn(GAP_S / 2)
    assert world.audience.kinds == []
    world.bus.stored = [chunk(1, 1, 2)]
    await world.turn(2 * GAP_PAUSE_S)
    assert world.audience.kinds == ["chunk", "finished"]
    assert b'"recovered":true' in world.audience.told[-1].frame


async def test_the_end_does_not_wait_for_ever(world: World) -> None:
    await world.stream.open_known(view())
    await settled(world)
    world.finish(end(1, 2))
    await world.turn(GAP_S + 2 * GAP_PAUSE_S)
    assert world.audience.kinds == ["finished"]
    assert b'"recovered":false' in world.audience.told[-1].frame
    assert world.bus.reads[-1] == 0  # the last look was at everything
    assert world.over == 1


async def test_a_gap_for_good_is_not_looked_at_with_each_chunk_behind_it(world: World) -> None:
    await world.stream.open_known(view())
    await settled(world)
    world.live(chunk(1, 2))
    await world.turn(GAP_S + 2 * GAP_PAUSE_S)
    reads = len(world.bus.reads)
    for n in range(3, 10):
        world.live(chunk(1, n))
    await world.turn(GAP_S)
    assert len(world.bus.reads) == reads
    world.live(chunk(1, 1))
    assert len(world.audience.kinds) == 9


async def test_an_end_that_comes_while_a_gap_is_looked_for_gets_its_own_time(world: World) -> None:
    await world.stream.open_known(view())
    await settled(world)
    world.live(chunk(1, 3))
    await world.turn(GAP_S - 2 * GAP_PAUSE_S)
    world.finish(end(1, 3))
    await world.turn(GAP_S - 4 * GAP_PAUSE_S)
    assert world.audience.kinds == []
    world.bus.stored = [chunk(1, 1, 2)]
    await world.turn(2 * GAP_PAUSE_S)
    assert world.audience.kinds == ["chunk", "finished"]
    assert world.audience.told[-2].position == "1:3"


async def test_a_bus_that_is_away_ends_a_finished_request_without_its_chunks(world: World) -> None:
    world.bus.away = True
    await world.stream.open_known(view(RequestState.SUCCEEDED, last_n=3, finished_at=NOW))
    await eventually(lambda: world.over)
    assert world.audience.kinds == ["finished"]
    assert b'"recovered":false' in world.audience.told[-1].frame


async def test_what_comes_live_while_a_replay_waits_for_its_reader_goes_behind_it(
    world: World,
) -> None:
    last = 10
    world.bus.stored = [chunk(1, n) for n in range(1, last)]
    world.audience.open.clear()
    await world.stream.open_known(view())
    await eventually(lambda: world.bus.reads)
    await world.turn(0)
    world.bus.stored.append(chunk(1, last))
    world.live(chunk(1, last))
    world.finish(end(1, last))
    assert world.audience.kinds == []
    world.audience.open.set()
    await eventually(lambda: world.over)
    assert world.audience.kinds[-1] == "finished"
    positions = [told.position for told in world.audience.told if told.type == "chunk"]
    assert positions[-1] == f"1:{last}"
    assert positions == sorted(positions, key=lambda p: int(p.split(":")[1]))


async def test_a_replay_of_many_events_is_read_in_parts(world: World) -> None:
    total = 2 * REPLAY_EVENTS + 5
    world.bus.stored = [chunk(1, n) for n in range(1, total + 1)]
    await world.stream.open_known(view(RequestState.SUCCEEDED, last_n=total, finished_at=NOW))
    await eventually(lambda: world.over)
    assert world.bus.reads == [0, REPLAY_EVENTS, 2 * REPLAY_EVENTS]
    assert world.audience.told[-2].position == f"1:{total}"


async def test_a_request_may_have_ended_between_the_look_and_the_subscription(
    world: World,
) -> None:
    await world.stream.open_known(view())
    await settled(world)
    assert world.looked_up == [REQUEST]


async def test_a_new_request_is_told_of_only_after_it_was_accepted(world: World) -> None:
    await world.stream.open_new(SPACE)
    world.live(chunk(1, 1))
    world.finish(end(1, 1))
    assert world.audience.told == []
    world.stream.release()
    assert world.audience.kinds == ["chunk", "finished"]


async def test_statuses_are_told_when_they_change(world: World) -> None:
    await world.stream.open_known(view(RequestState.QUEUED, position=2, attempt=0))
    world.stream.placed(RequestState.QUEUED)
    assert world.hints.queued == 1
    await settled(world)
    for seen in (
        view(RequestState.QUEUED, position=2, attempt=0),
        view(RequestState.QUEUED, position=1, attempt=0),
        view(RequestState.RUNNING),
        view(RequestState.RUNNING),
    ):
        world.stream.seen(seen)
    states = [told.frame for told in world.audience.told]
    assert len(states) == 3
    assert b'"position":1' in states[1]
    assert b'"state":"running"' in states[2]
    assert world.hints.queued == 0


async def test_output_files_have_addresses_that_can_be_fetched(world: World) -> None:
    file = FileRef(
        file_id="f" * 26,
        name="a.txt",
        kind=InputKind.FILE,
        media_type="text/plain",
        size_bytes=1,
        sha256="0" * 64,
        url="https://elsewhere.example/",
    )
    await world.stream.open_known(view())
    await settled(world)
    world.finish(end(1, 0).model_copy(update={"output_files": [file]}))
    (told,) = json.loads(world.audience.told[-1].frame)["output_files"]
    assert told["url"].startswith(f"/files/{file.file_id}?")


async def test_a_stopped_stream_leaves_nothing_behind(world: World) -> None:
    await world.stream.open_known(view(RequestState.QUEUED))
    world.stream.placed(RequestState.QUEUED)
    world.stream.stop()
    world.stream.stop()
    assert len(world.fanout.events) == len(world.fanout.ends) == len(world.waiters) == 0
    assert world.hints.queued == 0
    world.stream.seen(view())
    world.stream.finished(end(1, 0))
    assert world.audience.kinds == []
    await world.fanout.stop()
