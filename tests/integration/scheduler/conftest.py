"""A scheduler on real servers, with the registry's part of the database played by tests."""

from collections.abc import AsyncIterator, Sequence
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
from spaces_scheduler.settings import SchedulerSettings
from tests.integration.scheduler.world import Lanes, World
from tests.support.servers import RunningNats, RunningPostgres

Tables: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


@pytest.fixture
async def migrated(database_url: str) -> str:
    """The migrator's address of a database with the scheduler's tables."""
    await migrate(database_url, package="spaces_scheduler", schema="scheduler")
    return database_url


@pytest.fixture
async def tables(migrated: str) -> AsyncIterator[Tables]:
    """The database behind the scheduler's back, with the owner's rights."""
    connection = await asyncpg.connect(migrated)
    yield connection
    await connection.close()


@pytest.fixture
async def lanes(
    migrated: str, postgres_server: RunningPostgres, database: str, tables: Tables
) -> AsyncIterator[Lanes]:
    """The functions, called with the rights of the services that call them."""
    as_registry = await asyncpg.connect(postgres_server.role_url("spaces_registry", database))
    as_scheduler = await asyncpg.connect(postgres_server.role_url("spaces_scheduler", database))
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
    migrated: str, postgres_server: RunningPostgres, database: str, nats_server: RunningNats
) -> SchedulerSettings:
    """What a scheduler of this test is started with."""
    return SchedulerSettings(
        nats_url=nats_server.url,
        nats_user="scheduler",
        nats_password=SecretStr(nats_server.password("scheduler")),
        postgres_url=SecretStr(postgres_server.role_url("spaces_scheduler", database)),
    )


@pytest.fixture
async def scheduler(settings: SchedulerSettings) -> AsyncIterator[Scheduler]:
    """One scheduler, whose loops only a test turns."""
    scheduler = Scheduler(settings)
    async with running([part for part in scheduler.parts if not isinstance(part, Loop)]):
        yield scheduler


@pytest.fixture
async def bus(nats_server: RunningNats) -> AsyncIterator[Bus]:
    """The bus as a gateway sees it."""
    bus = Bus.from_settings(
        BusSettings(
            nats_url=nats_server.url,
            nats_user="gateway",
            nats_password=SecretStr(nats_server.password("gateway")),
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
