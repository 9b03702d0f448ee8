"""What waits for one reader is bounded, goes out together, and keeps its order."""

import asyncio
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from spaces_gateway.sockets.limits import OutboxLimits
from spaces_gateway.sockets.outbox import WRITE_BYTES, Outbox
from spaces_gateway.sockets.wire import Sink

LIMITS = OutboxLimits(messages=8, bytes=1000)


class Paper:
    """A wire that writes down."""

    def __init__(self) -> None:
        self.can_write = True
        self.writes: list[list[bytes]] = []

    @property
    def frames(self) -> list[bytes]:
        return [frame for write in self.writes for frame in write]

    def attach(self, sink: Sink) -> None: ...

    def write(self, frames: Sequence[bytes]) -> None:
        self.writes.append(list(frames))

    def close(self, code: int, reason: str = "") -> None: ...

    def abort(self) -> None: ...

    def limit(self, frame_bytes: int) -> None: ...

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


def outbox(wire: Paper, limits: OutboxLimits = LIMITS) -> tuple[Outbox, list[str]]:
    overflows: list[str] = []
    loop = asyncio.get_running_loop()
    return Outbox(wire, limits, lambda: overflows.append("overflow"), loop), overflows


async def turn() -> None:
    await asyncio.sleep(0)


async def test_what_collects_in_one_turn_of_the_loop_is_one_write() -> None:
    wire = Paper()
    box, _ = outbox(wire)
    box.put(b"a")
    box.put(b"b")
    assert wire.writes == []
    await turn()
    assert wire.writes == [[b"a", b"b"]]
    await turn()
    box.put(b"c")
    await turn()
    assert wire.writes == [[b"a", b"b"], [b"c"]]


async def test_many_frames_in_one_turn_are_no_overflow_while_the_wire_takes_them() -> None:
    wire = Paper()
    box, overflows = outbox(wire, OutboxLimits(messages=256, bytes=256 * 1024))
    sent = [str(n).encode() for n in range(5000)]
    for frame in sent:
        box.put(frame)
    await turn()
    assert wire.frames == sent
    assert overflows == []


async def test_too_many_messages_or_bytes_give_the_socket_up_once() -> None:
    for frames in ([b"x"] * 10, [b"x" * 600] * 4):
        wire = Paper()
        wire.can_write = False
        box, overflows = outbox(wire)
        for frame in frames:
            box.put(frame)
        assert overflows == ["overflow"]
        wire.can_write = True
        box.flush()
        assert wire.writes == []


async def test_one_frame_larger_than_the_bound_is_taken_when_nothing_waits() -> None:
    wire = Paper()
    wire.can_write = False
    box, overflows = outbox(wire)
    box.put(b"x" * 5000)
    assert overflows == []
    box.put(b"y")
    assert overflows == ["overflow"]


async def test_what_waited_goes_out_in_order_when_the_wire_is_writable_again() -> None:
    wire = Paper()
    wire.can_write = False
    box, _ = outbox(wire)
    for n in range(8):
        box.put(str(n).encode())
    await turn()
    assert wire.writes == []
    wire.can_write = True
    box.flush()
    assert wire.frames == [str(n).encode() for n in range(8)]


async def test_a_sender_that_can_wait_waits_for_room_and_is_let_go_at_the_end() -> None:
    wire = Paper()
    wire.can_write = False
    box, _ = outbox(wire)
    await box.room()
    for n in range(4):
        box.put(str(n).encode())
    waiting = [asyncio.create_task(box.room()) for _ in range(2)]
    await turn()
    assert not any(task.done() for task in waiting)
    wire.can_write = True
    box.flush()
    await asyncio.gather(*waiting)

    wire.can_write = False
    for n in range(4):
        box.put(str(n).encode())
    last = asyncio.create_task(box.room())
    await turn()
    box.close()
    await last


async def test_a_write_is_bounded() -> None:
    wire = Paper()
    box, _ = outbox(wire, OutboxLimits(messages=100, bytes=10 * WRITE_BYTES))
    wire.can_write = False
    for _ in range(6):
        box.put(b"x" * (WRITE_BYTES // 2))
    wire.can_write = True
    box.flush()
    assert [len(write) for write in wire.writes] == [2, 2, 2]


@given(st.lists(st.tuples(st.integers(0, 400), st.booleans()), max_size=40))
def test_nothing_is_lost_or_reordered_until_the_overflow(steps: list[tuple[int, bool]]) -> None:
    async def run() -> None:
        wire = Paper()
        box, overflows = outbox(wire)
        sent: list[bytes] = []
        for n, (size, writable) in enumerate(steps):
            wire.can_write = writable
            frame = str(n).encode() + b"x" * size
            box.put(frame)
            if not overflows:
                sent.append(frame)
            await turn()
        wire.can_write = True
        box.flush()
        got = wire.frames
        assert got == sent[: len(got)]
        if not overflows:
            assert got == sent

    asyncio.run(run())
