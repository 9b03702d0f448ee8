"""A stream among losses, delays and pauses: whatever happens in whatever order, its audience gets each chunk once."""

import asyncio
import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from spaces_contracts.requests import RequestEvent
from spaces_gateway.sockets.request_stream import GAP_PAUSE_S, GAP_S
from tests.unit.gateway_sockets.stream_world import World, view
from tests.unit.gateway_sockets.test_stream_merge import cuts, end

# What may happen next to a request that is being watched.
OFTEN = ["turn", "turn", "turn", "turn", "live", "live", "live", "store", "store"]
STEPS = st.sampled_from([*OFTEN, "lose", "twice", "time", "full", "room", "finish"])


class Play:
    """Carries steps out on one request with these frames."""

    def __init__(self, frames: list[RequestEvent], total: int) -> None:
        self.world = World()
        self.frames = frames
        self.end = end(1, total)
        self.sent = self.stored = 0

    async def run(self, before: int, full: bool, steps: list[str]) -> World:
        """Some frames are stored before anybody watches; the steps; then all is stored and everything settles."""
        world = self.world
        self.sent = self.stored = min(before, len(self.frames))
        world.bus.stored = self.frames[: self.stored]
        if full:
            world.audience.open.clear()
        await world.stream.open_known(view())
        for step in steps:
            await self.step(step)
        world.audience.open.set()
        world.bus.stored = list(self.frames)
        await world.turn(2 * GAP_PAUSE_S)
        world.finish(self.end)
        await world.turn(2 * GAP_S)
        await world.fanout.stop()
        return world

    async def step(self, step: str) -> None:
        if step in ("live", "lose", "twice"):
            self.send({"live": 1, "lose": 0, "twice": 2}[step])
        elif step == "store" and self.stored < self.sent:
            self.world.bus.stored.append(self.frames[self.stored])
            self.stored += 1
        elif step == "turn":
            await asyncio.sleep(0)
        elif step == "time":
            self.world.clock.forward(GAP_PAUSE_S)
        elif step == "full":
            self.world.audience.open.clear()
        elif step == "room":
            self.world.audience.open.set()
        elif step == "finish" and self.sent == len(self.frames):
            self.world.finish(self.end)

    def send(self, times: int) -> None:
        if self.sent == len(self.frames):
            return
        for _ in range(times):
            if self.world.over == 0:
                self.world.live(self.frames[self.sent])
        self.sent += 1


@settings(max_examples=300, deadline=None)
@given(
    st.integers(0, 12).flatmap(lambda n: st.tuples(cuts(1, n), st.just(n))),
    st.integers(0, 6),
    st.booleans(),
    st.lists(STEPS, max_size=40),
)
def test_each_chunk_comes_once_in_order_and_then_the_end(
    request: tuple[list[RequestEvent], int], before: int, full: bool, steps: list[str]
) -> None:
    frames, total = request
    world = asyncio.run(Play(frames, total).run(before, full, steps))
    told = [json.loads(message.frame) for message in world.audience.told]
    chunks = [data for frame in told if frame["type"] == "chunk" for data in frame["data"]]
    assert world.over == 1
    assert told[-1]["type"] == "finished"
    assert [frame["type"] for frame in told].count("finished") == 1
    expected = [f"1:{n}" for n in range(1, total + 1)]
    # The end waits half a second for what is missing; after that it says that it is not whole.
    assert chunks == expected if told[-1]["recovered"] else chunks == expected[: len(chunks)]
    for before, after in zip([0, *_lasts(told)], _firsts(told), strict=False):
        assert after == before + 1


@settings(max_examples=100, deadline=None)
@given(
    cuts(1, 12),
    st.integers(0, 6),
    st.lists(st.sampled_from(["live", "lose", "twice", "turn", "full", "room"])),
)
def test_what_is_stored_in_time_is_always_recovered(
    frames: list[RequestEvent], before: int, steps: list[str]
) -> None:
    world = asyncio.run(Play(frames, 12).run(before, False, steps))
    last = json.loads(world.audience.told[-1].frame)
    assert (last["type"], last["recovered"]) == ("finished", True)


def _firsts(told: list[dict[str, Any]]) -> list[int]:
    return [frame["n"] for frame in told if "data" in frame]


def _lasts(told: list[dict[str, Any]]) -> list[int]:
    return [frame["n"] + len(frame["data"]) - 1 for frame in told if "data" in frame]
