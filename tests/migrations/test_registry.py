"""The registry's tables: from nothing to the newest, what they refuse, and who may touch them."""

from collections.abc import AsyncIterator
from typing import TypeAlias

import asyncpg
import pytest

from spaces_chassis.migrate import migrate, read_migrations
from spaces_contracts.identifiers import is_id, new_id
from spaces_registry.actors import DEFAULT_TENANT_ID
from spaces_registry.schema import PACKAGE, SCHEMA
from tests.support.servers import RunningPostgres

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
HASH = "0" * 64


@pytest.fixture
async def tables(database_url: str) -> AsyncIterator[Connection]:
    """A database in which the registry's migrations start from nothing."""
    connection = await asyncpg.connect(database_url)
    await connection.execute("DROP SCHEMA IF EXISTS registry CASCADE")
    await connection.execute("DELETE FROM spaces_migration.applied WHERE schema = 'registry'")
    yield connection
    await connection.close()


@pytest.fixture
async def newest(tables: Connection, database_url: str) -> Connection:
    await migrate(database_url, package=PACKAGE, schema=SCHEMA)
    return tables


async def space(tables: Connection, name: str = "chat", *, deleted: bool = False) -> str:
    space_id = new_id()
    await tables.execute(
        """
        INSERT INTO registry.space (space_id, tenant_id, name, inputs, policy, deleted_at)
        VALUES ($1, $2, $3, '{prompt}', '{}', CASE WHEN $4 THEN clock_timestamp() END)
        """,
        space_id,
        DEFAULT_TENANT_ID,
        name,
        deleted,
    )
    return space_id


async def token(tables: Connection) -> str:
    principal_id = new_id()
    await tables.execute(
        """
        INSERT INTO registry.principal (principal_id, kind, name, secret_sha256, prefix)
        VALUES ($1, 'worker_token', 't', $2, 'spw_')
        """,
        principal_id,
        HASH,
    )
    return principal_id


async def connect(tables: Connection, space_id: str, token_id: str, seat: int) -> str:
    connection_id = new_id()
    await tables.execute(
        """
        INSERT INTO registry.connection (connection_id, space_id, principal_id, instance_id,
            instance_secret_sha256, route, slots, agent, seat, epoch, lease_until)
        VALUES ($1, $2, $3, 'i', 's', 'r', 1, '{}', $4, 1, clock_timestamp())
        """,
        connection_id,
        space_id,
        token_id,
        seat,
    )
    return connection_id


async def test_an_empty_database_gets_all_files_once(tables: Connection, database_url: str) -> None:
    files = [migration.file for migration in read_migrations(PACKAGE)]
    assert await migrate(database_url, package=PACKAGE, schema=SCHEMA) == files
    assert await migrate(database_url, package=PACKAGE, schema=SCHEMA) == []


async def test_a_fresh_database_has_the_default_tenant(newest: Connection) -> None:
    rows = await newest.fetch("SELECT tenant_id, name FROM registry.tenant")
    assert [tuple(row) for row in rows] == [(DEFAULT_TENANT_ID, "default")]
    assert is_id(DEFAULT_TENANT_ID)


async def test_a_name_is_taken_once_among_the_spaces_that_are_not_deleted(
    newest: Connection,
) -> None:
    await space(newest, deleted=True)
    await space(newest)
    with pytest.raises(asyncpg.UniqueViolationError):
        await space(newest)


async def test_a_seat_is_held_by_one_live_connection(newest: Connection) -> None:
    space_id, token_id = await space(newest), await token(newest)
    first = await connect(newest, space_id, token_id, 0)
    await connect(newest, space_id, token_id, 1)
    with pytest.raises(asyncpg.UniqueViolationError):
        await connect(newest, space_id, token_id, 0)
    await newest.execute(
        "UPDATE registry.connection SET ended_at = clock_timestamp(), reason = 'left'"
        " WHERE connection_id = $1",
        first,
    )
    await connect(newest, space_id, token_id, 0)


@pytest.mark.parametrize(
    "change",
    [
        "ended_at = clock_timestamp()",
        "reason = 'left'",
        "suspect_since = clock_timestamp()",
        "lease_until = NULL",
        "slots = 0",
        "seat = -1",
    ],
)
async def test_a_connection_cannot_be_half_ended_half_doubted_or_without_a_lease(
    newest: Connection, change: str
) -> None:
    await connect(newest, await space(newest), await token(newest), 0)
    with pytest.raises(asyncpg.CheckViolationError):
        await newest.execute(f"UPDATE registry.connection SET {change}")


@pytest.mark.parametrize(
    ("kind", "tenant_id", "sha256"),
    [
        ("admin", DEFAULT_TENANT_ID, HASH),
        ("api_key", None, HASH),
        ("somebody", None, HASH),
        ("admin", None, "spa_plain"),
    ],
)
async def test_a_principal_has_its_kinds_tenant_and_only_a_hash(
    newest: Connection, kind: str, tenant_id: str | None, sha256: str
) -> None:
    with pytest.raises(asyncpg.CheckViolationError):
        await newest.execute(
            """
            INSERT INTO registry.principal (principal_id, kind, tenant_id, name, secret_sha256, prefix)
            VALUES ($1, $2, $3, 'n', $4, 'p')
            """,
            new_id(),
            kind,
            tenant_id,
            sha256,
        )


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT 1 FROM scheduler.request",
        "SELECT 1 FROM scheduler.lane",
        "DELETE FROM scheduler.connection",
        "DROP TABLE registry.ticket",
        "CREATE TABLE registry.mine (x int)",
        "DELETE FROM registry.principal",
        "DELETE FROM registry.space",
        "UPDATE registry.ticket SET expires_at = expires_at + interval '1 day'",
    ],
)
async def test_the_registrys_role_may_only_what_it_needs(
    newest: Connection, postgres_server: RunningPostgres, database: str, statement: str
) -> None:
    registry = await asyncpg.connect(postgres_server.role_url("spaces_registry", database))
    try:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await registry.execute(statement)
    finally:
        await registry.close()


async def test_the_schedulers_role_sees_nothing_of_the_registry(
    newest: Connection, postgres_server: RunningPostgres, database: str
) -> None:
    scheduler = await asyncpg.connect(postgres_server.role_url("spaces_scheduler", database))
    try:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await scheduler.execute("SELECT 1 FROM registry.principal")
    finally:
        await scheduler.close()
