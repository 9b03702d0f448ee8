"""Roles and schemas of a fresh database: what migrations and services expect to find."""

import asyncpg

from spaces_stack.child import StartError

MIGRATOR = "spaces_migrator"
SERVICE_ROLES = ("spaces_registry", "spaces_scheduler")
SCHEMAS = ("registry", "scheduler")


async def create_roles(admin_url: str, passwords: dict[str, str]) -> None:
    """Makes the roles that are missing and sets everyone's password. Grants are the migrations' business."""
    connection = await asyncpg.connect(admin_url)
    try:
        for role in (MIGRATOR, *SERVICE_ROLES):
            if not await connection.fetchval("SELECT true FROM pg_roles WHERE rolname = $1", role):
                await connection.execute(f"CREATE ROLE {role} LOGIN")
            # A password of ours is hexadecimal, and ALTER ROLE takes no parameters.
            await connection.execute(f"ALTER ROLE {role} LOGIN PASSWORD '{passwords[role]}'")
        if not await connection.fetchval(
            "SELECT usesuper FROM pg_user WHERE usename = current_user"
        ):
            # Only a member may make a schema that belongs to the migrator.
            await connection.execute(f"GRANT {MIGRATOR} TO CURRENT_USER")
    except asyncpg.InsufficientPrivilegeError as error:
        raise StartError(
            f"PostgreSQL: {error}. The stack makes the roles {', '.join((MIGRATOR, *SERVICE_ROLES))}: give"
            " SPACES_POSTGRES_URL a user with CREATEROLE that owns the database"
        ) from error
    finally:
        await connection.close()


async def create_database(admin_url: str, name: str) -> None:
    """Makes a database that belongs to the migrator, unless it is there."""
    connection = await asyncpg.connect(admin_url)
    try:
        if not await connection.fetchval("SELECT true FROM pg_database WHERE datname = $1", name):
            await connection.execute(f"CREATE DATABASE {name} OWNER {MIGRATOR}")
    finally:
        await connection.close()


async def prepare_database(admin_url: str, *, exclusive: bool = True) -> None:
    """Makes the schemas in the database of this URL; `exclusive` shuts out who has no business there."""
    connection = await asyncpg.connect(admin_url)
    try:
        name = await connection.fetchval("SELECT current_database()")
        if exclusive:
            await connection.execute(f'REVOKE ALL ON DATABASE "{name}" FROM PUBLIC')
            await connection.execute("REVOKE ALL ON SCHEMA public FROM PUBLIC")
        for role in (MIGRATOR, *SERVICE_ROLES):
            await connection.execute(f'GRANT CONNECT, TEMPORARY ON DATABASE "{name}" TO {role}')
        await connection.execute(f'GRANT CREATE ON DATABASE "{name}" TO {MIGRATOR}')
        for schema in SCHEMAS:
            await connection.execute(
                f"CREATE SCHEMA IF NOT EXISTS {schema} AUTHORIZATION {MIGRATOR}"
            )
    finally:
        await connection.close()
