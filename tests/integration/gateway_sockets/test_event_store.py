"""Chunks on their way to the stream: repeated while the bus is away, given up when it stays away."""

from collections.abc import Callable

import pytest

from spaces_chassis.bus import Bus
from spaces_chassis.metrics import Metrics
from spaces_chassis.testing import ManualClock
from spaces_contracts.identifiers import new_id
from spaces_gateway.sockets.event_store import (
    GIVE_UP_AFTER_S,
    LATE_AFTER_S,
    EventStore,
    fits_stream,
)
from tests.integration.gateway_sockets.platform_double import PlatformDouble
from tests.support.eventually import eventually


class Chunks:
    """A store on the platform's bus, and what it reported."""

    def __init__(self, bus: Bus) -> None:
        self.clock = ManualClock()
        self.store = EventStore(bus, self.clock, Metrics("test"))
        self.done: list[bool] = []
        self.late = 0

    def put(self, subject: str, dedupe: str = "d") -> None:
        self.store.store(subject, b"{}", dedupe, self.done.append, self._late)

    def _late(self) -> None:
        self.late += 1


@pytest.fixture
def chunks(platform: PlatformDouble) -> Chunks:
    return Chunks(platform.bus)


async def test_what_is_stored_is_reported_once(chunks: Chunks, platform: PlatformDouble) -> None:
    subject = f"evt.{new_id()}.{new_id()}"
    chunks.put(subject)
    await eventually(lambda: chunks.done == [True])
    assert len(await platform.bus.replay(subject)) == 1
    assert chunks.late == 0


async def test_the_same_chunk_again_is_stored_once(
    chunks: Chunks, platform: PlatformDouble
) -> None:
    subject = f"evt.{new_id()}.{new_id()}"
    key = new_id()
    chunks.put(subject, key)
    chunks.put(subject, key)
    await eventually(lambda: chunks.done == [True, True])
    assert len(await platform.bus.replay(subject)) == 1


async def test_a_chunk_without_an_answer_is_late_once_and_in_the_end_given_up(
    chunks: Chunks, step: Callable[[Chunks], None]
) -> None:
    chunks.put("nowhere.listens")  # no stream takes this subject
    chunks.clock.forward(LATE_AFTER_S)
    step(chunks)
    chunks.clock.forward(LATE_AFTER_S)
    step(chunks)
    assert (chunks.late, chunks.done) == (1, [])
    chunks.clock.forward(GIVE_UP_AFTER_S)
    step(chunks)
    assert chunks.done == [False]
    await chunks.store.stop()


@pytest.fixture
def step() -> Callable[[Chunks], None]:
    """The look at what is overdue, which a timer does."""
    return lambda chunks: chunks.store.look()


def test_what_is_larger_than_the_stream_takes_is_known_before() -> None:
    assert fits_stream(b"x" * 1_048_576)
    assert not fits_stream(b"x" * 1_114_112)
