"""Fixtures for every test: real servers, started once, and a fresh database for each test that asks."""

import signal
from collections.abc import Iterator

import pytest
import structlog

from tests.support import log_secrets
from tests.support.platform import Platform, running_platform
from tests.support.servers import RunningNats, RunningPostgres, running_nats, running_postgres


def pytest_configure(config: pytest.Config) -> None:
    """Programs under test hear Ctrl-C even when the suite was started in the background, which ignores it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    # As the services are set up: structlog's own traceback shows local variables, and with them keys.
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.stdlib.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.dev.ConsoleRenderer(
                colors=False, exception_formatter=structlog.dev.plain_traceback
            ),
        ]
    )
    # Whatever a test starts, no secret may stand in its log.
    config.pluginmanager.register(log_secrets)


@pytest.fixture(scope="session")
def nats_server() -> Iterator[RunningNats]:
    """A real nats-server with the product's configuration: .url, .password(user), .kill(), .revive()."""
    with running_nats() as server:
        yield server


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[RunningPostgres]:
    """A real PostgreSQL: .url (superuser), .clone() makes a database, .role_url(role, database)."""
    with running_postgres() as server:
        yield server


@pytest.fixture
def database(postgres_server: RunningPostgres) -> Iterator[str]:
    """The name of a fresh database, cloned from the migrated template."""
    name = postgres_server.clone()
    yield name
    postgres_server.drop(name)


@pytest.fixture
def database_url(postgres_server: RunningPostgres, database: str) -> str:
    """The migrator's address of a fresh database: it may read and write everything."""
    return postgres_server.role_url("spaces_migrator", database)


@pytest.fixture
def registry_database_url(postgres_server: RunningPostgres, database: str) -> str:
    """The registry's address of a fresh database, with the registry's rights only."""
    return postgres_server.role_url("spaces_registry", database)


@pytest.fixture
def scheduler_database_url(postgres_server: RunningPostgres, database: str) -> str:
    """The scheduler's address of a fresh database, with the scheduler's rights only."""
    return postgres_server.role_url("spaces_scheduler", database)


@pytest.fixture(scope="module")
def platform() -> Iterator[Platform]:
    """The whole platform as real processes, one for the tests of a module."""
    with running_platform() as running:
        yield running
