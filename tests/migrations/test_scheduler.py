"""The scheduler's tables: from nothing to the newest, what they refuse, and who may touch them."""

from collections.abc import AsyncIterator
from typing import TypeAlias

import asyncpg
import pytest

from spaces_chassis.migrate import migrate, read_migrations
from spaces_contracts.identifiers import new_id
from spaces_scheduler.schema import PACKAGE, SCHEMA
from tests.support.servers import RunningPostgres

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


@pytest.fixture
async def tables(database_url: str) -> AsyncIterator[Connection]:
    """A database in which the scheduler's migrations start from nothing."""
    connection = await asyncpg.connect(database_url)
    await connection.execute("DROP SCHEMA IF EXISTS scheduler CASCADE")
    await connection.execute("DELETE FROM spaces_migration.applied WHERE schema = 'scheduler'")
    yield connection
    await connection.close()


@pytest.fixture
async def newest(tables: Connection, database_url: str) -> Connection:
    await migrate(database_url, package=PACKAGE, schema=SCHEMA)
    return tables


async def test_from_nothing_to_the_newest_and_then_nothing_is_left_to_do(
    tables: Connection, database_url: str
) -> None:
    files = [migration.file for migration in read_migrations(PACKAGE)]
    assert await migrate(database_url, package=PACKAGE, schema=SCHEMA) == files
    assert await migrate(database_url, package=PACKAGE, schema=SCHEMA) == []


async def test_no_function_is_for_everybody(newest: Connection) -> None:
    public = await newest.fetch(
        """
        SELECT p.oid::regprocedure::text FROM pg_proc p
        WHERE p.pronamespace = 'scheduler'::regnamespace AND has_function_privilege('public', p.oid, 'EXECUTE')
        """
    )
    assert public == []


async def test_each_service_may_call_its_own_functions_only(newest: Connection) -> None:
    rows = await newest.fetch(
        """
        SELECT role, array_agg(p.proname::text ORDER BY p.proname) AS functions
        FROM pg_proc p, unnest(ARRAY['spaces_registry', 'spaces_scheduler']) AS role
        WHERE p.pronamespace = 'scheduler'::regnamespace AND has_function_privilege(role, p.oid, 'EXECUTE')
        GROUP BY role
        """
    )
    allowed = {row["role"]: set(row["functions"]) for row in rows}
    assert allowed["spaces_registry"] == {
        *("attach", "connection_drain", "detach", "lane_close", "lane_open", "lane_show")
    }
    assert not allowed["spaces_registry"] & allowed["spaces_scheduler"]
    assert "submit_many" in allowed["spaces_scheduler"]
    assert "claim" not in allowed["spaces_scheduler"]


async def test_services_change_requests_by_functions_only(
    newest: Connection, postgres_server: RunningPostgres, database: str
) -> None:
    for role in ("spaces_registry", "spaces_scheduler"):
        service = await asyncpg.connect(postgres_server.role_url(role, database))
        for statement in (
            "UPDATE scheduler.request SET state = 'failed'",
            "DELETE FROM scheduler.lane",
            "INSERT INTO scheduler.clock DEFAULT VALUES",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await service.execute(statement)
        await service.close()


HOT = {"scheduler.submit_many", "scheduler.finish_many"}


async def test_every_function_with_the_owners_rights_has_a_fixed_search_path_and_one_kind_of_plan(
    newest: Connection,
) -> None:
    rows = await newest.fetch(
        """
        SELECT p.oid::regprocedure::text AS name, p.proconfig FROM pg_proc p
        WHERE p.pronamespace = 'scheduler'::regnamespace AND p.prosecdef
        """
    )
    assert len(rows) > 15
    for row in rows:
        settings = set(row["proconfig"])
        if row["name"].partition("(")[0] in HOT:
            # Setting it costs each call: their connections plan so, see plans.py of the scheduler.
            assert settings == {"search_path=pg_catalog, pg_temp"}
            continue
        assert {
            "search_path=pg_catalog, pg_temp",
            "plan_cache_mode=force_generic_plan",
            "enable_seqscan=off",
            "enable_mergejoin=off",
        } <= settings, row["name"]
        # Rows are either looked up one by one, or joined by hash: never one today and the other tomorrow.
        assert len({"enable_hashjoin=off", "enable_nestloop=off"} & settings) == 1, row["name"]


async def test_a_lane_that_lost_count_is_refused(newest: Connection) -> None:
    await newest.execute("SELECT scheduler.lane_open($1, 't', true, '{prompt}', '{}')", new_id())
    with pytest.raises(asyncpg.CheckViolationError):
        await newest.execute("UPDATE scheduler.lane SET queued = -1")


async def test_a_lane_opened_with_an_empty_policy_has_the_defaults(newest: Connection) -> None:
    await newest.execute("SELECT scheduler.lane_open($1, 't', true, '{prompt}', '{}')", new_id())
    row = await newest.fetchrow("SELECT * FROM scheduler.lane")
    assert row is not None
    assert (row["when_offline"], row["max_queue"], row["max_attempts"]) == ("reject", 1000, 3)
    assert row["retry_after_start"]
    assert {row["queue_timeout_s"], row["run_timeout_s"], row["timeout_s"]} == {120.0}
