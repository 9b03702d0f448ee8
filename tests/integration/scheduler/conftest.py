"""A scheduler on real servers, with the registry's part of the database played by tests."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import TypeAlias

import asyncpg
import pytest
from pydantic import SecretStr

from spaces_chassis.bus import Bus
from spaces_chassis.lifecycle import Loop, Part
from spaces_chassis.migrate import migrate
from spaces_chassis.settings import BusSettings
from spaces_scheduler.app import Scheduler
from spaces_scheduler.plans import ROW_BY_ROW
from spaces_scheduler.settings import SchedulerSettings
from tests.integration.scheduler.world import Lanes, World
from tests.support.observed_nats import OBSERVER
from tests.support.servers import RunningNats, RunningPostgres

_EMPTY = """
    DELETE FROM scheduler.result; DELETE FROM scheduler.assignment; DELETE FROM scheduler.request;
    DELETE FROM scheduler.connection; DELETE FROM scheduler.lane; DELETE FROM scheduler.idempotency;
    DELETE FROM scheduler.leader; UPDATE scheduler.clock SET stepped = '0', generation = 0;
"""
Tables: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


@pytest.fixture(scope="session")
def scheduler_database(postgres_server: RunningPostgres) -> Iterator[str]:
    """The name of one database for all tests of the scheduler: a fresh one for each would cost a second."""
    name = postgres_server.clone()
    url = postgres_server.role_url("spaces_migrator", name)
    asyncio.run(migrate(url, package="spaces_scheduler", schema="scheduler"))
    yield name
    postgres_server.drop(name)


@pytest.fixture
async def tables(
    postgres_server: RunningPostgres, scheduler_database: str
) -> AsyncIterator[Tables]:
    """The empty tables behind the scheduler's back, with the owner's rights."""
    url = postgres_server.role_url("spaces_migrator", scheduler_database)
    connection = await asyncpg.connect(url)
    await connection.execute(_EMPTY)
    yield connection
    await connection.close()


@pytest.fixture
async def lanes(
    postgres_server: RunningPostgres, scheduler_database: str, tables: Tables
) -> AsyncIterator[Lanes]:
    """The functions, called with the rights of the services that call them."""
    as_registry, as_scheduler = [
        await asyncpg.connect(
            postgres_server.role_url(role, scheduler_database), server_settings=ROW_BY_ROW
        )
        for role in ("spaces_registry", "spaces_scheduler")
    ]
    yield Lanes(as_registry, as_scheduler, tables)
    await as_registry.close()
    await as_scheduler.close()


@asynccontextmanager
async def running(parts: Sequence[Part]) -> AsyncIterator[None]:
    """The parts of a process, started as it starts them."""
    started: list[Part] = []
    try:
        for part in parts:
            started.append(part)
            await part.start()
        yield
    finally:
        for part in reversed(started):
            await part.stop()


@pytest.fixture
def settings(
    tables: Tables,
    postgres_server: RunningPostgres,
    scheduler_database: str,
    nats_server: RunningNats,
) -> SchedulerSettings:
    """What a scheduler of this test is started with, on empty tables."""
    return SchedulerSettings(
        nats_url=nats_server.url,
        nats_user="scheduler",
        nats_password=SecretStr(nats_server.password("scheduler")),
        postgres_url=SecretStr(postgres_server.role_url("spaces_scheduler", scheduler_database)),
    )


@pytest.fixture
async def scheduler(settings: SchedulerSettings) -> AsyncIterator[Scheduler]:
    """One scheduler, whose loops only a test turns."""
    scheduler = Scheduler(settings)
    async with running([part for part in scheduler.parts if not isinstance(part, Loop)]):
        yield scheduler


@pytest.fixture
async def bus(nats_server: RunningNats) -> AsyncIterator[Bus]:
    """The bus of whoever may do everything."""
    bus = Bus.from_settings(
        BusSettings(
            nats_url=nats_server.url,
            nats_user=OBSERVER,
            nats_password=SecretStr(nats_server.password(OBSERVER)),
        ),
        name="test",
    )
    async with running([bus]):
        yield bus


@pytest.fixture
async def world(scheduler: Scheduler, bus: Bus, lanes: Lanes) -> AsyncIterator[World]:
    """Gateways and workers as the scheduler knows them."""
    world = World(bus, lanes, scheduler)
    yield world
    await world.close()
