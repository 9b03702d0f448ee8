"""Migrations: plain SQL files of a service, forward only, each applied once (extra `postgres`).

Files are `<package>/migrations/NNNN_[pre_|post_]words.sql`. `pre_` files run before the new code is rolled out
and `post_` files after it; others count as `pre_`. Each file is one transaction, unless its first line is
`-- no transaction` (for CREATE INDEX CONCURRENTLY; such a file holds one statement).
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Literal

import asyncpg
import structlog

from spaces_chassis.database import CONNECT_TIMEOUT_S, Database, unavailable_when_down

log = structlog.get_logger(__name__)

Phase = Literal["pre", "post", "all"]

_FILE = re.compile(r"^(\d{4})_(?:(pre|post)_)?[a-z0-9]+(?:_[a-z0-9]+)*\.sql$")
_SCHEMA = re.compile(r"^[a-z][a-z0-9_]*$")
_NO_TRANSACTION = "-- no transaction"
# Any number does, as long as all migrators of a database use the same.
_LOCK = 0x5350_4143_4553

_RECORD = """
CREATE SCHEMA IF NOT EXISTS spaces_migration;
CREATE TABLE IF NOT EXISTS spaces_migration.applied (
    schema     text        NOT NULL,
    file       text        NOT NULL,
    sha256     text        NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (schema, file)
);
-- A service checks at start that its schema is new enough, with its own role.
GRANT USAGE ON SCHEMA spaces_migration TO PUBLIC;
GRANT SELECT ON spaces_migration.applied TO PUBLIC;
"""


class MigrationError(Exception):
    """The files do not fit what the database has; nothing was changed by the file that is named."""


@dataclass(frozen=True)
class Migration:
    """One file."""

    file: str
    sql: str

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.sql.encode()).hexdigest()

    @property
    def is_post(self) -> bool:
        return "_post_" in self.file[4:10]

    @property
    def in_transaction(self) -> bool:
        return not self.sql.startswith(_NO_TRANSACTION)


def read_migrations(package: str) -> list[Migration]:
    """The package's files in order. Raises MigrationError for a bad or doubled name."""
    folder = resources.files(package) / "migrations"
    found = [
        Migration(entry.name, entry.read_text("utf-8"))
        for entry in folder.iterdir()
        if entry.name.endswith(".sql")
    ]
    found.sort(key=lambda migration: migration.file)
    numbers: dict[str, str] = {}
    for migration in found:
        match = _FILE.match(migration.file)
        if match is None:
            raise MigrationError(f"{migration.file} is not named NNNN_[pre_|post_]words.sql")
        if (other := numbers.setdefault(match[1], migration.file)) != migration.file:
            raise MigrationError(f"{other} and {migration.file} have the same number")
    return found


async def migrate(
    url: str, *, package: str, schema: str, role: str | None = None, phase: Phase = "all"
) -> list[str]:
    """Applies what is missing and returns the files applied, in order.

    Only one migrator works at a time; others wait, and then find nothing to do. With `role`, everything is
    made by that role, which then owns it. Raises MigrationError for an edited, vanished or failing file.
    """
    if not _SCHEMA.match(schema):
        raise MigrationError(f"{schema!r} cannot name a schema")
    migrations = read_migrations(package)
    with unavailable_when_down():
        connection = await asyncpg.connect(
            url,
            timeout=CONNECT_TIMEOUT_S,
            server_settings={"application_name": f"migrate {schema}"},
        )
    try:
        await connection.execute("SELECT pg_advisory_lock($1)", _LOCK)
        if role is not None:
            await connection.execute(f"SET ROLE {_quoted(role)}")
        await connection.execute(_RECORD)
        await connection.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}")
        missing = _missing(migrations, await _applied(connection, schema))
        wanted = [m for m in missing if phase == "all" or m.is_post == (phase == "post")]
        for migration in wanted:
            await _apply(connection, schema, migration)
        return [migration.file for migration in wanted]
    finally:
        await connection.close()  # which also gives the lock back


async def schema_version(database: Database, schema: str) -> str | None:
    """The last file applied to a schema; None when there is none."""
    present = await database.fetchval("SELECT to_regclass('spaces_migration.applied') IS NOT NULL")
    if not present:
        return None
    version: str | None = await database.fetchval(
        "SELECT max(file) FROM spaces_migration.applied WHERE schema = $1", schema
    )
    return version


async def require_schema(database: Database, *, package: str, schema: str) -> None:
    """Raises MigrationError when the database is older than this code needs. `post_` files may be missing."""
    needed = [m.file for m in read_migrations(package) if not m.is_post]
    version = await schema_version(database, schema)
    if needed and (version is None or version < needed[-1]):
        raise MigrationError(
            f"schema {schema} is at {version or 'nothing'}, this process needs {needed[-1]}: run its migrate command"
        )


async def _applied(connection: "asyncpg.Connection[asyncpg.Record]", schema: str) -> dict[str, str]:
    rows = await connection.fetch(
        "SELECT file, sha256 FROM spaces_migration.applied WHERE schema = $1", schema
    )
    return {row["file"]: row["sha256"] for row in rows}


def _missing(migrations: Sequence[Migration], applied: dict[str, str]) -> list[Migration]:
    files = {migration.file: migration for migration in migrations}
    for file, sha256 in sorted(applied.items()):
        if file in files and files[file].sha256 != sha256:
            raise MigrationError(
                f"{file} was changed after it was applied; write a new file instead"
            )
    # A database may be newer than this code, after a roll-back: its unknown files are left alone.
    newest = max((file for file in applied if not Migration(file, "").is_post), default="")
    missing = [migration for migration in migrations if migration.file not in applied]
    for migration in missing:
        if not migration.is_post and migration.file < newest:
            raise MigrationError(
                f"{migration.file} comes before {newest}, which is applied; give it a higher number"
            )
    return missing


async def _apply(
    connection: "asyncpg.Connection[asyncpg.Record]", schema: str, migration: Migration
) -> None:
    try:
        if migration.in_transaction:
            async with connection.transaction():
                await connection.execute(migration.sql)
                await _record(connection, schema, migration)
        else:
            await connection.execute(migration.sql)
            await _record(connection, schema, migration)
    except asyncpg.PostgresError as error:
        raise MigrationError(f"{migration.file}: {error}") from error
    log.info("migrated", schema=schema, file=migration.file)


async def _record(
    connection: "asyncpg.Connection[asyncpg.Record]", schema: str, migration: Migration
) -> None:
    await connection.execute(
        "INSERT INTO spaces_migration.applied (schema, file, sha256) VALUES ($1, $2, $3)",
        schema,
        migration.file,
        migration.sha256,
    )


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
