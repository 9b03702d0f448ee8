"""A PostgreSQL without the product's schemas: the chassis knows none, and its tests may kill it."""

import asyncio
import itertools
import tempfile
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from spaces_stack.ports import free_ports
from spaces_stack.postgres_server import PostgresServer
from spaces_stack.secret_files import SecretFiles
from spaces_stack.supervisor import Supervisor


class BarePostgres:
    """A cluster with the superuser's own databases in it."""

    def __init__(self, server: PostgresServer, supervisor: Supervisor) -> None:
        self._server = server
        self._supervisor = supervisor
        self._numbers = itertools.count(1)

    @property
    def url(self) -> str:
        return self._server.admin_url()

    def create(self) -> str:
        """A fresh database; its address."""
        name = f"chassis_{next(self._numbers)}"
        asyncio.run(self._execute(f"CREATE DATABASE {name}"))
        return self._server.admin_url(name)

    def kill(self) -> None:
        """kill -9."""
        self._supervisor.kill("postgres")

    def revive(self) -> None:
        """Starts it again on the same port and data."""
        self._supervisor.revive("postgres")

    async def _execute(self, statement: str) -> None:
        connection = await asyncpg.connect(self.url)
        try:
            await connection.execute(statement)
        finally:
            await connection.close()


@pytest.fixture(scope="module")
def bare_postgres() -> Iterator[BarePostgres]:
    """One server for the module's tests; who kills it revives it."""
    with tempfile.TemporaryDirectory(prefix="spaces-test-", dir="/var/tmp") as folder:
        home = Path(folder)
        home.chmod(0o711)
        secrets = SecretFiles(home / "secrets")
        server = PostgresServer.create(home, free_ports(1)[0], secrets, settings={"fsync": "off"})
        supervisor = Supervisor(home, restart=False)
        try:
            supervisor.start([server.program()])
            yield BarePostgres(server, supervisor)
        finally:
            supervisor.stop_all()


@pytest.fixture
def bare_url(bare_postgres: BarePostgres) -> str:
    """The superuser's address of a fresh, empty database."""
    return bare_postgres.create()
