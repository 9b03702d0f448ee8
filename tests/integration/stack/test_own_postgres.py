"""A PostgreSQL of the user's own: roles and schemas with no more than the rights that are asked for."""

from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from spaces_stack.child import StartError
from spaces_stack.database_roles import MIGRATOR, SERVICE_ROLES, create_roles, prepare_database
from tests.support.servers import running_cluster

PASSWORDS = {role: f"secret{number}" for number, role in enumerate((MIGRATOR, *SERVICE_ROLES))}


@pytest.fixture
async def own_url(tmp_path: Path) -> AsyncIterator[str]:
    """An ordinary user's address of a database that it owns, on a server without our roles."""
    with running_cluster() as (server, _):
        admin = await asyncpg.connect(server.admin_url())
        await admin.execute("CREATE ROLE owner LOGIN PASSWORD 'owner' CREATEROLE")
        await admin.execute("CREATE ROLE guest LOGIN PASSWORD 'guest'")
        await admin.execute("CREATE DATABASE theirs OWNER owner")
        await admin.close()
        yield server.url("owner", "owner", "theirs")


async def test_a_user_who_may_create_roles_is_enough(own_url: str) -> None:
    await create_roles(own_url, PASSWORDS)
    await prepare_database(own_url, exclusive=False)
    migrator = await asyncpg.connect(
        own_url.replace("owner:owner", f"{MIGRATOR}:{PASSWORDS[MIGRATOR]}")
    )
    await migrator.execute("CREATE TABLE scheduler.probe (id int); CREATE SCHEMA spaces_migration")
    await migrator.close()


async def test_a_second_start_on_the_same_server_changes_nothing(own_url: str) -> None:
    for _ in range(2):
        await create_roles(own_url, PASSWORDS)
        await prepare_database(own_url, exclusive=False)


async def test_a_user_without_that_right_is_told_which_one_it_needs(own_url: str) -> None:
    with pytest.raises(StartError, match="CREATEROLE"):
        await create_roles(own_url.replace("owner:owner", "guest:guest"), PASSWORDS)
