"""Real servers for tests: one nats-server and one PostgreSQL a session, a database a test."""

import asyncio
import itertools
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from spaces_stack import environments
from spaces_stack.database_roles import (
    MIGRATOR,
    SERVICE_ROLES,
    create_database,
    create_roles,
    prepare_database,
)
from spaces_stack.nats_server import NatsServer
from spaces_stack.platform import MIGRATED, migrate
from spaces_stack.ports import free_ports
from spaces_stack.postgres_server import PostgresServer
from spaces_stack.secret_files import SecretFiles
from spaces_stack.supervisor import Supervisor
from tests.support.log_secrets import require_no_secrets
from tests.support.observed_nats import observed_nats

TEMPLATE = "template_spaces"


@contextmanager
def running_nats() -> Iterator["RunningNats"]:
    """A nats-server with the product's configuration, and the user `observer`."""
    with tempfile.TemporaryDirectory(prefix="spaces-test-") as folder:
        port, monitor = free_ports(2)
        server = observed_nats(
            port, monitor, Path(folder) / "store", SecretFiles(Path(folder) / "secrets")
        )
        supervisor = Supervisor(Path(folder), restart=False)
        try:
            supervisor.start([server.program()])
            yield RunningNats(server, supervisor)
            require_no_secrets(Path(folder), Path(folder) / "secrets")
        finally:
            supervisor.stop_all()


@dataclass(frozen=True)
class RunningNats:
    """Address, credentials, and the means to end it."""

    server: NatsServer
    supervisor: Supervisor

    @property
    def url(self) -> str:
        """The address for clients."""
        return self.server.url

    def password(self, user: str) -> str:
        """Users: those of the product, and observer, who may do everything in CORE."""
        return self.server.password(user)

    def issuer_seed(self) -> str:
        """What signs users in the auth callout."""
        return self.server.issuer_seed_path().read_text().strip()

    def kill(self) -> None:
        """kill -9."""
        self.supervisor.kill("nats")

    def revive(self) -> None:
        """Starts it again on the same port and store."""
        self.supervisor.revive("nats")


class RunningPostgres:
    """A cluster for a session, and fresh databases in it."""

    def __init__(self, server: PostgresServer, supervisor: Supervisor) -> None:
        self.server = server
        self.supervisor = supervisor
        self._numbers = itertools.count(1)
        self.passwords = {role: server.secrets.get(role) for role in (MIGRATOR, *SERVICE_ROLES)}

    @property
    def url(self) -> str:
        """The superuser's address, database `postgres`."""
        return self.server.admin_url()

    async def prepare(self) -> None:
        """Roles, and the database that all others are cloned from."""
        await create_roles(self.url, self.passwords)
        await create_database(self.url, TEMPLATE)
        await prepare_database(self.server.admin_url(TEMPLATE))
        environ = environments.migration(self.role_url(MIGRATOR, TEMPLATE))
        for service in MIGRATED:
            await asyncio.to_thread(migrate, service, environ, self.server.home / "migrate.log")

    def clone(self) -> str:
        """A fresh database; its name."""
        name = f"test_{next(self._numbers)}"
        asyncio.run(self._execute(f"CREATE DATABASE {name} TEMPLATE {TEMPLATE} OWNER {MIGRATOR}"))
        return name

    def drop(self, name: str) -> None:
        """Removes a database, whoever is still connected."""
        asyncio.run(self._execute(f"DROP DATABASE {name} WITH (FORCE)"))

    def role_url(self, role: str, database: str) -> str:
        """One role's address of one database."""
        return self.server.url(role, self.passwords[role], database)

    def kill(self) -> None:
        """kill -9 of the postmaster."""
        self.supervisor.kill("postgres")

    def revive(self) -> None:
        """Starts it again on the same port and data."""
        self.supervisor.revive("postgres")

    async def _execute(self, statement: str) -> None:
        connection = await asyncpg.connect(self.url)
        try:
            await connection.execute(statement)
        finally:
            await connection.close()


@contextmanager
def running_postgres() -> Iterator[RunningPostgres]:
    """A cluster with our roles and the migrated template."""
    with running_cluster() as (server, supervisor):
        postgres = RunningPostgres(server, supervisor)
        asyncio.run(postgres.prepare())
        yield postgres


@contextmanager
def running_cluster() -> Iterator[tuple[PostgresServer, Supervisor]]:
    """A PostgreSQL with the product's settings, except that it does not wait for a disk."""
    with tempfile.TemporaryDirectory(prefix="spaces-test-", dir="/var/tmp") as folder:
        home = Path(folder)
        home.chmod(0o711)
        # A power failure is no part of any test, and a killed process loses nothing without fsync.
        server = PostgresServer.create(
            home, free_ports(1)[0], SecretFiles(home / "secrets"), settings={"fsync": "off"}
        )
        supervisor = Supervisor(home, restart=False)
        try:
            supervisor.start([server.program()])
            yield server, supervisor
            require_no_secrets(home, home / "secrets")
        finally:
            supervisor.stop_all()
