"""Buses of both kinds, for tests that both must pass."""

import itertools
from collections.abc import AsyncIterator, Callable

import pytest
from pydantic import SecretStr

from spaces_chassis.bus import Bus
from spaces_chassis.settings import BusSettings
from spaces_chassis.testing import MemoryBroker, MemoryBus
from tests.support.observed_nats import OBSERVER

MakeBus = Callable[[], Bus]


@pytest.fixture(params=["memory", "nats"])
async def make_bus(request: pytest.FixtureRequest) -> AsyncIterator[MakeBus]:
    """Makes buses that talk to each other; those that were started are stopped at the end."""
    made: list[Bus] = []
    names = itertools.count(1)
    broker = MemoryBroker()

    def over_memory() -> Bus:
        made.append(MemoryBus(broker))
        return made[-1]

    def over_nats() -> Bus:
        server = request.getfixturevalue("nats_server")
        settings = BusSettings(
            nats_url=server.url,
            nats_user=OBSERVER,
            nats_password=SecretStr(server.password(OBSERVER)),
        )
        made.append(Bus.from_settings(settings, name=f"conformance-{next(names)}"))
        return made[-1]

    yield over_memory if request.param == "memory" else over_nats
    for bus in made:
        await bus.stop()


@pytest.fixture
async def bus(make_bus: MakeBus) -> Bus:
    bus = make_bus()
    await bus.start()
    return bus
