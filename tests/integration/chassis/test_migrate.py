"""Migrations: forward only, once each, one migrator at a time, edited files refused."""

import asyncio
import itertools
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path

import asyncpg
import pytest

from spaces_chassis.database import Database
from spaces_chassis.migrate import (
    MigrationError,
    migrate,
    read_migrations,
    require_schema,
    schema_version,
)

MakePackage = Callable[[Mapping[str, str]], str]
_numbers = itertools.count(1)

FIRST = {"0001_things.sql": "CREATE TABLE shop.thing (id int PRIMARY KEY);"}
SECOND = {**FIRST, "0002_pre_names.sql": "ALTER TABLE shop.thing ADD COLUMN name text;"}
THIRD = {**SECOND, "0003_post_names.sql": "ALTER TABLE shop.thing ALTER COLUMN name SET NOT NULL;"}


@pytest.fixture
def make_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MakePackage:
    """Makes an importable package with these files in its migrations folder."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def make(files: Mapping[str, str]) -> str:
        name = f"migrations_package_{next(_numbers)}"
        folder = tmp_path / name / "migrations"
        folder.mkdir(parents=True)
        (tmp_path / name / "__init__.py").touch()
        for file, sql in files.items():
            (folder / file).write_text(sql)
        sys.modules.pop(name, None)
        return name

    return make


@pytest.fixture
async def database(bare_url: str) -> AsyncIterator[Database]:
    made = Database(bare_url, name="test", pool_size=2)
    await made.start()
    yield made
    await made.stop()


async def test_files_are_applied_in_order_and_only_once(
    bare_url: str, database: Database, make_package: MakePackage
) -> None:
    assert await schema_version(database, "shop") is None
    package = make_package(SECOND)
    assert await migrate(bare_url, package=package, schema="shop") == list(SECOND)
    assert await migrate(bare_url, package=package, schema="shop") == []
    later = make_package(THIRD)
    assert await migrate(bare_url, package=later, schema="shop") == ["0003_post_names.sql"]
    assert await schema_version(database, "shop") == "0003_post_names.sql"
    rows = await database.fetch("SELECT schema, file FROM spaces_migration.applied ORDER BY file")
    assert [(row["schema"], row["file"]) for row in rows] == [("shop", file) for file in THIRD]


async def test_two_schemas_have_their_own_history(bare_url: str, make_package: MakePackage) -> None:
    shop = make_package(FIRST)
    other = make_package({"0001_things.sql": "CREATE TABLE other.thing (id int);"})
    assert await migrate(bare_url, package=shop, schema="shop") == ["0001_things.sql"]
    assert await migrate(bare_url, package=other, schema="other") == ["0001_things.sql"]


async def test_an_edited_file_is_refused_and_nothing_is_applied(
    bare_url: str, database: Database, make_package: MakePackage
) -> None:
    await migrate(bare_url, package=make_package(FIRST), schema="shop")
    edited = make_package({**SECOND, "0001_things.sql": "CREATE TABLE shop.thing (id bigint);"})
    with pytest.raises(MigrationError, match=r"0001_things\.sql was changed"):
        await migrate(bare_url, package=edited, schema="shop")
    assert await schema_version(database, "shop") == "0001_things.sql"


async def test_a_file_that_fails_leaves_nothing_of_itself_and_keeps_those_before(
    bare_url: str, database: Database, make_package: MakePackage
) -> None:
    broken = "CREATE TABLE shop.half (id int); SELECT no_such_function();"
    package = make_package({**FIRST, "0002_half.sql": broken, "0003_never.sql": "SELECT 1;"})
    with pytest.raises(MigrationError, match=r"0002_half\.sql.*no_such_function"):
        await migrate(bare_url, package=package, schema="shop")
    assert await schema_version(database, "shop") == "0001_things.sql"
    assert await database.fetchval("SELECT to_regclass('shop.half')") is None


async def test_a_file_that_comes_before_an_applied_one_is_refused(
    bare_url: str, make_package: MakePackage
) -> None:
    await migrate(bare_url, package=make_package({"0005_five.sql": "SELECT 1;"}), schema="shop")
    package = make_package({"0004_late.sql": "SELECT 1;", "0005_five.sql": "SELECT 1;"})
    with pytest.raises(MigrationError, match=r"0004_late\.sql comes before 0005_five\.sql"):
        await migrate(bare_url, package=package, schema="shop")


async def test_a_database_newer_than_the_code_is_left_alone(
    bare_url: str, database: Database, make_package: MakePackage
) -> None:
    await migrate(bare_url, package=make_package(THIRD), schema="shop")
    old = make_package(FIRST)
    assert await migrate(bare_url, package=old, schema="shop") == []
    await require_schema(database, package=old, schema="shop")


async def test_pre_and_post_files_can_be_applied_apart(
    bare_url: str, database: Database, make_package: MakePackage
) -> None:
    package = make_package(THIRD)
    assert await migrate(bare_url, package=package, schema="shop", phase="pre") == list(SECOND)
    await require_schema(database, package=package, schema="shop")
    applied = await migrate(bare_url, package=package, schema="shop", phase="post")
    assert applied == ["0003_post_names.sql"]


async def test_a_pre_file_may_follow_a_post_file_that_waits(
    bare_url: str, make_package: MakePackage
) -> None:
    package = make_package({**THIRD, "0004_pre_more.sql": "SELECT 1;"})
    await migrate(bare_url, package=package, schema="shop", phase="pre")
    applied = await migrate(bare_url, package=package, schema="shop", phase="post")
    assert applied == ["0003_post_names.sql"]


async def test_a_service_refuses_an_older_schema(
    bare_url: str, database: Database, make_package: MakePackage
) -> None:
    package = make_package(SECOND)
    with pytest.raises(MigrationError, match=r"is at nothing, this process needs 0002_pre_names"):
        await require_schema(database, package=package, schema="shop")
    await migrate(bare_url, package=make_package(FIRST), schema="shop")
    with pytest.raises(MigrationError, match=r"is at 0001_things\.sql"):
        await require_schema(database, package=package, schema="shop")
    await migrate(bare_url, package=package, schema="shop")
    await require_schema(database, package=package, schema="shop")


async def test_many_migrators_at_once_apply_each_file_once(
    bare_url: str, database: Database, make_package: MakePackage
) -> None:
    files = {f"{n:04}_step.sql": f"CREATE TABLE shop.step_{n} (id int);" for n in range(1, 9)}
    package = make_package(files)
    applied = await asyncio.gather(
        *(migrate(bare_url, package=package, schema="shop") for _ in range(8))
    )
    assert sorted(map(len, applied)) == [0] * 7 + [8]
    assert await database.fetchval("SELECT count(*) FROM spaces_migration.applied") == 8


async def test_a_file_may_run_outside_a_transaction(
    bare_url: str, database: Database, make_package: MakePackage
) -> None:
    index = "-- no transaction\nCREATE INDEX CONCURRENTLY thing_id ON shop.thing (id);"
    package = make_package({**FIRST, "0002_index.sql": index})
    await migrate(bare_url, package=package, schema="shop")
    assert await database.fetchval("SELECT to_regclass('shop.thing_id') IS NOT NULL")


async def test_everything_belongs_to_the_role_that_was_named(
    bare_url: str, database: Database, make_package: MakePackage
) -> None:
    role = f'owner "{next(_numbers)}"'
    quoted = '"' + role.replace('"', '""') + '"'
    await database.execute(f"CREATE ROLE {quoted}")
    name = await database.fetchval("SELECT current_database()")
    await database.execute(f"GRANT CREATE ON DATABASE {name} TO {quoted}")
    await migrate(bare_url, package=make_package(FIRST), schema="shop", role=role)
    owner = await database.fetchval("SELECT tableowner FROM pg_tables WHERE tablename = 'thing'")
    assert owner == role


async def test_a_role_without_rights_can_read_the_version(
    bare_url: str, database: Database, make_package: MakePackage
) -> None:
    await migrate(bare_url, package=make_package(FIRST), schema="shop")
    role = f"reader_{next(_numbers)}"
    await database.execute(f"CREATE ROLE {role}")
    connection = await asyncpg.connect(bare_url)
    await connection.execute(f"SET ROLE {role}")
    assert await connection.fetchval("SELECT max(file) FROM spaces_migration.applied")
    await connection.close()


@pytest.mark.parametrize("file", ["1_short.sql", "0001.sql", "0001_Upper.sql", "0001_pre.txt.sql"])
def test_a_bad_file_name_is_refused(file: str, make_package: MakePackage) -> None:
    with pytest.raises(MigrationError, match="is not named"):
        read_migrations(make_package({file: "SELECT 1;"}))


def test_two_files_with_one_number_are_refused(make_package: MakePackage) -> None:
    package = make_package({"0001_one.sql": "", "0001_two.sql": ""})
    with pytest.raises(MigrationError, match="same number"):
        read_migrations(package)


async def test_a_schema_name_that_could_be_sql_is_refused(make_package: MakePackage) -> None:
    with pytest.raises(MigrationError, match="cannot name a schema"):
        await migrate("postgresql://nowhere", package=make_package(FIRST), schema='a"; DROP')
